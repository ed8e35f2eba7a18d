//! Network namespaces of containers.

use std::{fs::File, os::fd::AsFd};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use sysbox_core::{AbsPath, HostError};

use crate::{error::failed, mount_namespace::on_private_thread, sys};

/// Brings the loopback interface of a network namespace up, as every program that uses `127.0.0.1` expects it; the kernel
/// makes it down.
///
/// The calling thread stays where it is. Calling it again changes nothing.
///
/// # Errors
/// When the path names no network namespace, or the caller may not enter it.
pub fn bring_loopback_up(namespace: &AbsPath) -> Result<(), HostError> {
    let file = File::open(namespace).map_err(failed("open the network namespace", namespace))?;
    on_private_thread(|| {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(failed("enter the network namespace", namespace))?;
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .map_err(failed("open a socket in", namespace))?;
        sys::bring_up(socket.as_fd(), c"lo").map_err(failed("bring the loopback interface up in", namespace))
    })
}
