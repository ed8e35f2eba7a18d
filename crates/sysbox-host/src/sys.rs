//! The system calls of this crate that no safe wrapper exists for: each is unsafe here, and safe to call from anywhere else.
//!
//! Every function takes and gives checked types, so that nothing outside can pass a bad pointer or a number that is not a
//! descriptor. What each call is for stands with its caller.
#![expect(
    unsafe_code,
    reason = "clone3, mount_setattr, setfsuid, seccomp, keyctl, nsfs ioctls and changes of the environment have no safe wrapper"
)]

use std::{
    ffi::{c_int, c_long},
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

use rustix::{mount::MountPropagationFlags, process::getpid, thread::UnshareFlags};

/// Starts a process in a new user namespace, that does nothing, and gives its pidfd.
///
/// It takes no signal but `SIGKILL` and `SIGSTOP`, gives no `SIGCHLD` when it ends, is not seen by a `wait` without
/// `__WALL`, and ends with the calling thread (`clone(2)`, `PR_SET_PDEATHSIG(2const)`).
pub(crate) fn clone_parked_in_user_namespace() -> io::Result<OwnedFd> {
    let parent = c_long::from(getpid().as_raw_nonzero().get());
    let mut pidfd: c_int = -1;
    // SAFETY: `clone_args` is made of integers alone, of which 0 is a value that means "none".
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    // Sharing the table of descriptors: a copy would hold pipes and locks of other threads open for as long as it lives.
    args.flags = (libc::CLONE_NEWUSER | libc::CLONE_PIDFD | libc::CLONE_FILES).cast_unsigned().into();
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    let signals = AllSignalsBlocked::new()?;
    // SAFETY: no CLONE_VM and no stack, so the child goes on here with memory of its own, as after a fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid == 0 {
        // SAFETY: this is the child.
        unsafe { park(parent) }
    }
    drop(signals);
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: clone3 did not fail, so it put a new descriptor there.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// Waits for a signal for ever.
///
/// # Safety
/// To be called in a child made by a bare clone only. It calls nothing but the kernel, so that it does no harm that the
/// other threads of the parent, which may have held any lock, do not exist here.
unsafe fn park(parent: c_long) -> ! {
    // SAFETY: none of these calls takes a pointer that is followed.
    unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        // Where the parent ended before, no signal comes any more.
        while libc::syscall(libc::SYS_getppid) == parent {
            libc::syscall(libc::SYS_ppoll, ptr::null::<u8>(), 0, ptr::null::<u8>(), ptr::null::<u8>(), 0);
        }
        loop {
            libc::syscall(libc::SYS_exit_group, 1);
        }
    }
}

/// While it lives, this thread takes no signal.
pub(crate) struct AllSignalsBlocked(libc::sigset_t);

impl AllSignalsBlocked {
    pub(crate) fn new() -> io::Result<Self> {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: sigfillset makes `all` a set; pthread_sigmask reads it and writes `before`.
        let error = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
        };
        match error {
            // SAFETY: pthread_sigmask did not fail, so it wrote the set.
            0 => Ok(Self(unsafe { before.assume_init() })),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl Drop for AllSignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set is one that the kernel gave. With a valid `how` and set it cannot fail.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// ID-maps a detached mount by the mappings of a user namespace and takes it out of its peer group (`mount_setattr(2)`);
/// with `recursive`, those below it too.
pub(crate) fn id_map(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: MountPropagationFlags::PRIVATE.bits().into(),
        userns_fd: u64::from(userns.as_raw_fd().cast_unsigned()),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and the size that of the structure passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The ids that this thread uses files with (`setfsuid(2)`, `setfsgid(2)`): setting one that does not exist only tells.
pub(crate) fn fs_ids() -> (u32, u32) {
    // SAFETY: the calls take numbers alone.
    unsafe { (libc::setfsuid(u32::MAX).cast_unsigned(), libc::setfsgid(u32::MAX).cast_unsigned()) }
}

/// Sets the ids that this thread uses files with. The calls report no failure, so the ids are looked at afterwards.
pub(crate) fn set_fs_ids(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: the calls take numbers alone.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    if fs_ids() == (uid, gid) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

/// Gives this thread a mount namespace, root and working directory of its own (`unshare(2)`).
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: without CLONE_FILES, no thread loses a descriptor.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?)
}

/// Whether a descriptor is one of a user namespace (`ioctl_nsfs(2)`).
pub(crate) fn is_user_namespace(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: the request takes no argument.
    unsafe { libc::ioctl(fd.as_raw_fd(), libc::NS_GET_NSTYPE) == libc::CLONE_NEWUSER }
}

/// The user namespace that owns a namespace (`ioctl_nsfs(2)`, `NS_GET_USERNS`).
pub(crate) fn owning_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call did not fail, so it gave a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Asks for what notifications need of seccomp: their sizes, and that the filter may return `SECCOMP_RET_USER_NOTIF`
/// (`seccomp(2)`). Installs nothing.
pub(crate) fn seccomp_notify() -> io::Result<()> {
    let mut sizes = MaybeUninit::<libc::seccomp_notif_sizes>::zeroed();
    let action = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: both operations take a pointer to what is passed: the kernel writes the sizes and reads the action.
    let (sized, available) = unsafe {
        (
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, sizes.as_mut_ptr()),
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action),
        )
    };
    if sized == 0 && available == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives this process a session keyring of its own, that is empty (`keyctl_join_session_keyring(3)`).
pub(crate) fn join_new_session_keyring() -> io::Result<()> {
    // SAFETY: without a name, which is the null pointer, the call reads no memory.
    let serial = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<libc::c_char>())
    };
    if serial < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Removes variables from the environment of a process that has one thread; else it does nothing and says so.
#[expect(clippy::disallowed_methods, reason = "it is looked whether there is another thread")]
pub(crate) fn remove_variables(names: &[&str]) -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("this process has several threads"));
    }
    for name in names {
        // SAFETY: the only thread there is, this one, reads no environment meanwhile, nor can it start another.
        unsafe { std::env::remove_var(name) };
    }
    Ok(())
}

/// Sends a signal of any number to a process (`kill(2)`).
pub(crate) fn kill(process: rustix::process::Pid, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers alone.
    let result = unsafe { libc::kill(process.as_raw_nonzero().get(), signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Brings a network interface of the calling thread's network namespace up (`netdevice(7)`).
pub(crate) fn bring_up(socket: BorrowedFd<'_>, interface: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: `ifreq` is made of integers and unions of integers alone, of which 0 is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.to_bytes()).take(libc::IFNAMSIZ - 1) {
        *to = from.cast_signed();
    }
    let call = |number, request: &mut libc::ifreq| {
        // SAFETY: both requests read and write an `ifreq`, which is what is passed.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw mut *request) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    call(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS has written the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | i16::try_from(libc::IFF_UP).unwrap_or(1);
    call(libc::SIOCSIFFLAGS, &mut request)
}
