//! The flaws: each a rule, the cases that see it first, what a backend must be able to do for it to be seen, and what is done
//! otherwise.

mod of_files;

use std::{mem::swap, num::NonZeroU32, time::Duration};

use sysbox_core::{ContainerData, ErrorKind::*, FsEntryKind, MountKind, Operation::*, ShiftType};

use self::of_files::with_flaws_of_files;
use super::{
    alter::{each, none, overlook_root, shorten},
    breaks::{Break, Break::*, nowhere},
    define::flaws,
    habit::Habit,
    spoil::{At, Spoil},
};
#[cfg(feature = "suite")]
use crate::Ability;

const USUAL: NonZeroU32 = NonZeroU32::new(65_536).unwrap();

with_flaws_of_files! {
    // Registrations
    RegistrationOfAnother: "A registration is for the container that it names.", "mgr::register", [Mgr],
        Id(Register);
    RegistrationLosesRootfs: "The rootfs of a registration is that of the request.", "relay::mgr", [Mgr, Relay],
        Registration(|request| request.rootfs = nowhere());
    RegistrationLosesUserns: "A user namespace to join is taken note of.", "mgr::sharing", [Mgr],
        Registration(|request| request.userns = None);
    RegistrationLosesNetns: "A network namespace to join is taken note of.", "mgr::sharing", [Mgr],
        Registration(|request| request.netns = None);
    RegistrationSwapsNamespaces: "The user namespace to join is not the network namespace.", "mgr::sharing", [Mgr],
        Registration(|request| swap(&mut request.userns, &mut request.netns));
    RegistrationLosesUidMappings: "User id mappings of a spec are taken note of.", "mgr::register", [Mgr],
        Registration(|request| request.uid_mappings = none());
    RegistrationLosesGidMappings: "Group id mappings of a spec are taken note of.", "mgr::register", [Mgr],
        Registration(|request| request.gid_mappings = none());
    RegistrationSwapsMappings: "Mappings of users and of groups are not swapped.", "mgr::register", [Mgr],
        Registration(|request| swap(&mut request.uid_mappings, &mut request.gid_mappings));
    RunningRegisteredAgain: "A container that runs is not registered again.", "mgr::register", [Mgr],
        Masked(Register, AlreadyExists);
    RunningRegisteredAgainIsPrecondition: "A second registration is refused as `AlreadyExists`.", "mgr::register", [Mgr],
        Kind(Register, AlreadyExists, FailedPrecondition);
    HostRootMapped: "Mappings to the host's root are refused.", "mgr::register", [Mgr],
        Masked(Register, InvalidArgument);
    HostRootMappedIsInternal: "Mappings to the host's root are refused as `InvalidArgument`.", "mgr::register", [Mgr],
        Kind(Register, InvalidArgument, Internal);
    HostRootMappedByALaterExtent: "Mappings to the host's root are refused in any extent.", "mgr::register", [Mgr],
        Registration(|request| {
            overlook_root(&mut request.uid_mappings);
            overlook_root(&mut request.gid_mappings);
        });
    RestartKeepsEarlierMappings: "Mappings that a restart names are taken.", "mgr::register", [Mgr],
        Habit(Habit::RestartKeepsEarlierMappings);
    ForeignIdsNamed: "Ids that were given to another are not named.", "mgr::subids", [Mgr],
        Masked(Register, FailedPrecondition);
    RefusedAndYetRegistered: "A registration that is refused changes nothing.", "mgr::register", [Mgr],
        Habit(Habit::RefusedAndYetRegistered);

    // What a registration is answered
    ConfigTurnsAliasDns: "`alias_dns` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.alias_dns ^= true);
    ConfigTurnsShiftfsOk: "`shiftfs_ok` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.shiftfs_ok ^= true);
    ConfigTurnsShiftfsOnOverlayfsOk: "`shiftfs_on_overlayfs_ok` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.shiftfs_on_overlayfs_ok ^= true);
    ConfigTurnsIdmapMountOk: "`idmap_mount_ok` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.idmap_mount_ok ^= true);
    ConfigTurnsOverlayfsOnIdmapMountOk: "`overlayfs_on_idmap_mount_ok` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.overlayfs_on_idmap_mount_ok ^= true);
    ConfigTurnsNoRootfsCloning: "`no_rootfs_cloning` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.no_rootfs_cloning ^= true);
    ConfigTurnsIgnoreSysfsChown: "`ignore_sysfs_chown` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.ignore_sysfs_chown ^= true);
    ConfigTurnsAllowTrustedXattr: "`allow_trusted_xattr` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.allow_trusted_xattr ^= true);
    ConfigTurnsHonorCaps: "`honor_caps` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.honor_caps ^= true);
    ConfigTurnsSyscontMode: "`syscont_mode` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.syscont_mode ^= true);
    ConfigTurnsFsuidMapFailOnErr: "`fsuid_map_fail_on_err` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.fsuid_map_fail_on_err ^= true);
    ConfigTurnsNoShiftfsOnFuse: "`no_shiftfs_on_fuse` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.no_shiftfs_on_fuse ^= true);
    ConfigTurnsRelaxedReadOnly: "`relaxed_read_only` is mandated as it is.", "relay::mgr", [Mgr, Relay],
        Config(|config| config.relaxed_read_only ^= true);
    ConfigLosesUserns: "A container is told which user namespace it shares.", "mgr::sharing", [Mgr],
        Config(|config| config.userns = None);
    ConfigLosesUidMappings: "A container is told its user id mappings.", "mgr::register", [Mgr],
        Config(|config| config.uid_mappings = none());
    ConfigLosesGidMappings: "A container is told its group id mappings.", "mgr::register", [Mgr],
        Config(|config| config.gid_mappings = none());
    ConfigSwapsMappings: "A container is told mappings of users as those of users.", "mgr::register", [Mgr],
        Config(|config| swap(&mut config.uid_mappings, &mut config.gid_mappings));
    ConfigLosesShift: "A container is told how its rootfs was shifted.", "mgr::register", [Mgr],
        Config(|config| config.rootfs_shift = ShiftType::NoShift);
    ConfigLosesAnExtent: "A container is told every extent of its mappings.", "mgr::update", [Mgr],
        Config(|config| shorten(&mut config.uid_mappings));
    NoMappingsAfterRestart: "A restarted container is told its mappings.", "mgr::register", [Mgr],
        Habit(Habit::NoMappingsAfterRestart);
    NoShiftAfterRestart: "A restarted container is told its shift.", "mgr::register", [Mgr],
        Habit(Habit::NoShiftAfterRestart);

    // Updates
    UpdateOfAnother: "An update is of the container that it names.", "mgr::update", [Mgr], Id(Update);
    UpdateLosesUserns: "The user namespace of an update is taken note of.", "mgr::sharing", [Mgr],
        UpdateRequest(|request| request.userns = None);
    UpdateLosesNetns: "The network namespace of an update is taken note of.", "mgr::sharing", [Mgr],
        UpdateRequest(|request| request.netns = None);
    UpdateSwapsNamespaces: "The namespaces of an update are not swapped.", "mgr::sharing", [Mgr],
        UpdateRequest(|request| swap(&mut request.userns, &mut request.netns));
    UpdateLosesUidMappings: "User id mappings of an update are taken note of.", "mgr::update", [Mgr],
        UpdateRequest(|request| request.uid_mappings = none());
    UpdateLosesGidMappings: "Group id mappings of an update are taken note of.", "mgr::update", [Mgr],
        UpdateRequest(|request| request.gid_mappings = none());
    UpdateSwapsMappings: "Mappings of an update are not swapped.", "mgr::update", [Mgr],
        UpdateRequest(|request| swap(&mut request.uid_mappings, &mut request.gid_mappings));
    UpdateLosesShift: "The shift of an update is taken.", "mgr::update", [Mgr],
        UpdateRequest(|request| request.rootfs_shift = ShiftType::NoShift);
    UpdateLosesAnExtent: "Every extent of an update is taken note of.", "mgr::update", [Mgr],
        UpdateRequest(|request| shorten(&mut request.gid_mappings));
    UpdateSkipped: "An update is made.", "mgr::update", [Mgr], Skipped(Update);
    OneUpdateOnly: "A second update is made too.", "mgr::update", [Mgr], Habit(Habit::OneUpdate);
    UnknownUpdated: "A container that is not known is not updated.", "mgr::errors", [Mgr],
        Masked(Update, NotFound);
    StoppedUpdated: "A stopped container is not updated.", "mgr::update", [Mgr],
        Masked(Update, FailedPrecondition);
    StoppedUpdatedIsNotFound: "An update of a stopped container is refused as `FailedPrecondition`.", "mgr::update", [Mgr],
        Kind(Update, FailedPrecondition, NotFound);
    HostRootMappedByUpdate: "An update does not map the host's root.", "mgr::update", [Mgr],
        Masked(Update, InvalidArgument);
    UpdateResumes: "A paused container stays paused when it is updated.", "mgr::update", [Mgr],
        Habit(Habit::UpdateResumes);
    UpdateOverwritesNamespaces: "Namespaces that are known stay.", "mgr::sharing", [Mgr],
        Habit(Habit::UpdateOverwritesNamespaces);
    RefusedAndYetUpdated: "An update that is refused changes nothing.", "mgr::update", [Mgr],
        Habit(Habit::RefusedAndYetUpdated);

    // Ids
    IdsOfAnother: "Ids are given to the container that asks.", "mgr::subids", [Mgr], Id(AllocSubids);
    SizeIgnored: "As many ids are given as are asked for.", "mgr::subids", [Mgr],
        SubidRequest(|request| request.size = USUAL);
    UidSwappedWithGid: "User ids that are given are told as those, and group ids as those.", "relay::mgr", [Mgr, Relay],
        Subids(|given| (given.uid.0, given.gid.0) = (given.gid.0, given.uid.0));
    UidIsZero: "No user id of the host's root is given.", "mgr::subids", [Mgr],
        Subids(|given| given.uid.0 = 0);
    GidIsZero: "No group id of the host's root is given.", "mgr::subids", [Mgr],
        Subids(|given| given.gid.0 = 0);
    GidIsUid: "Group ids that are given are told.", "relay::mgr", [Mgr, Relay],
        Subids(|given| given.gid.0 = given.uid.0);
    OtherIdsEachTime: "A second call gives the same ids.", "mgr::subids", [Mgr],
        Habit(Habit::OtherIdsEachTime);
    OtherIdsAfterRestart: "A restarted container has the ids that it had.", "mgr::subids", [Mgr],
        Habit(Habit::OtherIdsAfterRestart);
    OneRangeForAll: "No two containers have the same ids.", "mgr::subids", [Mgr],
        Habit(Habit::OneRangeForAll);
    OtherSizeGiven: "Ids of another size are refused.", "mgr::subids", [Mgr],
        Masked(AllocSubids, InvalidArgument);
    OtherSizeIsExhaustion: "Ids of another size are refused as `InvalidArgument`.", "mgr::subids", [Mgr],
        Kind(AllocSubids, InvalidArgument, ResourceExhausted);
    MoreGivenThanThereIs: "Ids that are not there are not given.", "mgr::subids", [Mgr],
        Masked(AllocSubids, ResourceExhausted);
    ExhaustionIsInternal: "Exhaustion is told as `ResourceExhausted`.", "mgr::subids", [Mgr],
        Kind(AllocSubids, ResourceExhausted, Internal);
    ExhaustionTakesIds: "A wish that is refused takes nothing.", "mgr::subids", [Mgr],
        Habit(Habit::RefusedAndYetGiven);
    UnknownGivenIds: "A container that is not known is given nothing.", "mgr::errors", [Mgr],
        Masked(AllocSubids, NotFound);
    UnknownSilentlyRegistered: "A container becomes known by its registration alone.", "mgr::errors", [Mgr],
        Habit(Habit::SilentlyRegistered);

    // Mounts, marks and entries
    PreparationOfAnother: "Sources are prepared for the container that asks.", "mgr::prep_mounts", [Mgr, PrepMounts],
        Id(PrepMounts);
    PreparationLosesUid: "Sources are prepared for the user that is named.", "relay::mgr", [Mgr, Relay],
        Preparation(|request| request.uid.0 = 0);
    PreparationLosesGid: "Sources are prepared for the group that is named.", "relay::mgr", [Mgr, Relay],
        Preparation(|request| request.gid.0 = 0);
    PreparationLosesASource: "Every source is prepared.", "relay::mgr", [Mgr, Relay],
        Preparation(|request| drop(request.mounts.pop()));
    PreparationMovesASource: "The source that is named is prepared.", "relay::mgr", [Mgr, Relay],
        Preparation(|request| each(&mut request.mounts, |mount| mount.source = nowhere()));
    PreparationTurnsExclusive: "Sources are exclusive that are said to be.", "relay::mgr", [Mgr, Relay],
        Preparation(|request| each(&mut request.mounts, |mount| mount.exclusive ^= true));
    PreparationSkipped: "Sources are prepared.", "relay::mgr", [Mgr, Relay], Skipped(PrepMounts);
    UnknownPrepared: "Sources are prepared for known containers only.", "mgr::prep_mounts", [Mgr, PrepMounts],
        Masked(PrepMounts, NotFound);
    StoppedPrepared: "Nothing is prepared for a stopped container.", "mgr::prep_mounts", [Mgr, PrepMounts],
        Masked(PrepMounts, FailedPrecondition);
    WishOfAnother: "Mounts are for the container that asks.", "mgr::mounts", [Mgr, ReqMounts], Id(ReqMounts);
    WishLosesShift: "Mounts are given for the shift that is named.", "relay::mgr", [Mgr, Relay],
        MountRequests(|request| request.rootfs_shift = ShiftType::NoShift);
    WishLosesAMount: "Every wish for a mount is granted.", "mgr::mounts", [Mgr, ReqMounts],
        MountRequests(|request| drop(request.mounts.pop()));
    WishIsForOneKind: "Each kind of special directory is told from others.", "relay::mgr", [Mgr, Relay],
        MountRequests(|request| each(&mut request.mounts, |wish| wish.kind = MountKind::VarLibDocker));
    WishMovesDestination: "Mounts are made where they are wished for.", "mgr::mounts", [Mgr, ReqMounts],
        MountRequests(|request| each(&mut request.mounts, |wish| wish.destination = nowhere()));
    MountLosesSource: "The source of a mount is told.", "mgr::mounts", [Mgr, ReqMounts],
        Mounts(|mounts| each(mounts, |mount| mount.source.clear()));
    MountSharesSource: "Each container has directories of its own.", "mgr::mounts", [Mgr, ReqMounts],
        Mounts(|mounts| each(mounts, |mount| "/".clone_into(&mut mount.source)));
    MountMovesDestination: "The destination of a mount is told.", "mgr::mounts", [Mgr, ReqMounts],
        Mounts(|mounts| each(mounts, |mount| mount.destination = nowhere()));
    MountLosesType: "The type of a mount is told.", "mgr::mounts", [Mgr, ReqMounts],
        Mounts(|mounts| each(mounts, |mount| mount.kind.clear()));
    MountLosesAnOption: "Every option of a mount is told.", "mgr::mounts", [Mgr, ReqMounts],
        Mounts(|mounts| each(mounts, |mount| drop(mount.options.pop())));
    MountsInAnotherOrder: "Mounts are told in their order.", "relay::mgr", [Mgr, Relay],
        Mounts(|mounts| mounts.reverse());
    OtherMountsAfterRestart: "A restarted container gets the mounts that it had.", "mgr::mounts", [Mgr, ReqMounts],
        Habit(Habit::OtherMountsAfterRestart);
    UnknownGivenMounts: "Mounts are given to known containers only.", "mgr::mounts", [Mgr, ReqMounts],
        Masked(ReqMounts, NotFound);
    StoppedGivenMounts: "A stopped container is given no mounts.", "mgr::mounts", [Mgr, ReqMounts],
        Masked(ReqMounts, FailedPrecondition);
    NoMountsWhenPaused: "A paused container is given mounts.", "mgr::mounts", [Mgr, ReqMounts],
        Habit(Habit::NoMountsWhenPaused);
    MarksOfAnother: "Marks are for the container that asks.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        Id(ReqShiftfsMark);
    WishLosesAMark: "Every wish for a mark is granted.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        Marks(|marks| drop(marks.pop()));
    WishTurnsReadOnly: "Marks are read-only that are to be.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        Marks(|marks| each(marks, |mark| mark.readonly ^= true));
    WishMovesAMark: "Marks are made where they are wished for.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        Marks(|marks| each(marks, |mark| mark.source = nowhere()));
    MarkLost: "Every mark that was made is told.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        MarksMade(|marks| drop(marks.pop()));
    MarkTurnsReadOnly: "It is told whether a mark is read-only.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        MarksMade(|marks| each(marks, |mark| mark.readonly ^= true));
    MarkMoved: "It is told where a mark is.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        MarksMade(|marks| each(marks, |mark| mark.source = nowhere()));
    UnknownMarked: "Marks are made for known containers only.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        Masked(ReqShiftfsMark, NotFound);
    StoppedMarked: "A stopped container is given no marks.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        Masked(ReqShiftfsMark, FailedPrecondition);
    MarksOutliveStop: "Marks are removed when a container stops.", "mgr::shiftfs", [Mgr, ShiftfsMarks],
        Habit(Habit::MarksOutliveStop);
    EntriesOfAnother: "Entries are for the container that asks.", "mgr::fs_state", [Mgr, FsState],
        Id(ReqFsState);
    EntriesForAnotherRootfs: "Entries are for the rootfs that is named.", "relay::mgr", [Mgr, Relay],
        FsState(|request| request.rootfs = nowhere());
    EntryLosesKind: "The kind of an entry is told.", "relay::mgr", [Mgr, Relay],
        Entries(|entries| each(entries, |entry| entry.kind = FsEntryKind::File));
    EntryMoved: "The path of an entry is told.", "relay::mgr", [Mgr, Relay],
        Entries(|entries| each(entries, |entry| entry.path = nowhere()));
    EntryLosesMode: "The permissions of an entry are told.", "relay::mgr", [Mgr, Relay],
        Entries(|entries| each(entries, |entry| entry.mode &= 0o777));
    EntryLosesTarget: "The target of a link is told.", "relay::mgr", [Mgr, Relay],
        Entries(|entries| each(entries, |entry| entry.target = None));
    EntryLost: "Every entry is told.", "relay::mgr", [Mgr, Relay], Entries(|entries| drop(entries.pop()));
    UnknownGivenEntries: "Entries are told for known containers only.", "mgr::fs_state", [Mgr, FsState],
        Masked(ReqFsState, NotFound);
    NoEntriesWhenStopped: "Entries are told of a stopped container too.", "mgr::fs_state", [Mgr, FsState],
        Habit(Habit::NoEntriesWhenStopped);

    // Clones
    CloneOfAnother: "The rootfs is cloned of the container that asks.", "mgr::clone", [Mgr, CloneRootfs],
        Id(CloneRootfs);
    CloneMoved: "The path of a clone is told.", "mgr::clone", [Mgr, CloneRootfs],
        Clone(|path| *path = nowhere());
    UnknownCloned: "Only of known containers is the rootfs cloned.", "mgr::errors", [Mgr, CloneRootfs],
        Masked(CloneRootfs, NotFound);
    OffsetsSwapped: "User ids are shifted by their offset, and group ids by theirs.", "relay::mgr", [Mgr, Relay],
        Offsets(|offsets| swap(&mut offsets.uid, &mut offsets.gid));
    OffsetsTurned: "Ids are shifted in the direction that is named.", "relay::mgr", [Mgr, Relay],
        Offsets(|offsets| offsets.uid = offsets.uid.inverse());
    ShiftOfAnother: "The clone is shifted of the container that asks.", "mgr::clone", [Mgr, CloneRootfs],
        Id(ChownClonedRootfs);
    ShiftSkipped: "A clone is shifted.", "mgr::clone", [Mgr, CloneRootfs], Skipped(ChownClonedRootfs);
    ShiftWithoutClone: "A rootfs that was not cloned is not shifted.", "mgr::clone", [Mgr, CloneRootfs],
        Masked(ChownClonedRootfs, FailedPrecondition);
    ShiftedTwice: "A clone that is shifted is not shifted again.", "mgr::clone", [Mgr, CloneRootfs],
        Habit(Habit::ShiftedTwice);
    RevertOfAnother: "The clone is shifted back of the container that asks.", "mgr::clone", [Mgr, CloneRootfs],
        Id(RevertClonedRootfsChown);
    RevertSkipped: "A clone is shifted back.", "mgr::clone", [Mgr, CloneRootfs],
        Skipped(RevertClonedRootfsChown);
    RevertWithoutShift: "A clone that was not shifted is not shifted back.", "mgr::clone", [Mgr, CloneRootfs],
        Masked(RevertClonedRootfsChown, FailedPrecondition);

    // Pauses, stops and removals
    PauseOfAnother: "The container is paused that is named.", "mgr::pause", [Mgr], Id(Pause);
    PauseSkipped: "It is taken note of that a container is paused.", "mgr::pause", [Mgr], Skipped(Pause);
    PauseInAnyState: "A container is paused in the right state only.", "mgr::pause", [Mgr],
        Masked(Pause, FailedPrecondition);
    PauseInAnyStateIsNotFound: "That a container cannot be paused is `FailedPrecondition`.", "mgr::pause", [Mgr],
        Kind(Pause, FailedPrecondition, NotFound);
    UnknownPaused: "A container that is not known cannot be paused.", "mgr::errors", [Mgr],
        Masked(Pause, NotFound);
    ResumeOfAnother: "The container is resumed that is named.", "mgr::pause", [Mgr], Id(Resume);
    ResumeSkipped: "It is taken note of that a container is resumed.", "mgr::pause", [Mgr], Skipped(Resume);
    ResumeInAnyState: "A container is resumed in the right state only.", "mgr::pause", [Mgr],
        Masked(Resume, FailedPrecondition);
    ResumeInAnyStateIsNotFound: "That a container cannot be resumed is `FailedPrecondition`.", "mgr::pause", [Mgr],
        Kind(Resume, FailedPrecondition, NotFound);
    UnknownResumed: "A container that is not known cannot be resumed.", "mgr::errors", [Mgr],
        Masked(Resume, NotFound);
    StopOfAnother: "The container is stopped that is named.", "mgr::unregister", [Mgr], Id(Unregister);
    StopSkipped: "It is taken note of that a container stops.", "mgr::unregister", [Mgr], Skipped(Unregister);
    StoppedTwice: "A stopped container cannot be stopped.", "mgr::unregister", [Mgr],
        Masked(Unregister, FailedPrecondition);
    StoppedTwiceIsNotFound: "That a container has stopped is `FailedPrecondition`.", "mgr::unregister", [Mgr],
        Kind(Unregister, FailedPrecondition, NotFound);
    UnknownStopped: "A container that is not known cannot be stopped.", "mgr::errors", [Mgr],
        Masked(Unregister, NotFound);
    RemovedWhenStopped: "A stopped container can be started again.", "mgr::unregister", [Mgr, Remove],
        Habit(Habit::RemovedWhenStopped);
    RemovalOfAnother: "The container is removed that is named.", "mgr::remove", [Mgr, Remove], Id(Remove);
    RemovalSkipped: "A removed container is not known.", "mgr::remove", [Mgr, Remove], Skipped(Remove);
    RemovedWhileRunning: "A container that runs cannot be removed.", "mgr::remove", [Mgr, Remove],
        Habit(Habit::RemovedWhileRunning);
    RemovalOfRunningMasked: "That a container runs is told to those who remove it.", "mgr::remove", [Mgr, Remove],
        Masked(Remove, FailedPrecondition);
    UnknownRemoved: "A container that is not known cannot be removed.", "mgr::errors", [Mgr, Remove],
        Masked(Remove, NotFound);

    // Failures
    ErrorLosesMessage: "A failure names the container.", "mgr::errors", [Mgr],
        Error(|error| error.message.clear());
    ErrorNamesAnotherCall: "A failure names the call.", "mgr::errors", [Mgr],
        Error(|error| error.operation = FsMountpoint);
    ErrorIsInternal: "A failure is told as what it is.", "mgr::errors", [Mgr],
        Error(|error| error.kind = Internal);
    ErrorLosesCauses: "The causes of a failure are told.", "relay::errors", [Mgr, Relay],
        Error(|error| error.source = None);
    ErrorMessageCut: "The message of a failure is told word for word.", "relay::errors", [Mgr, Relay],
        Error(|error| error.message.truncate(12));

    // Callers
    OneAtATime: "A call that takes long keeps no other waiting.", "relay::callers", [Mgr, Relay],
        Habit(Habit::OneAtATime);
    StuckWhenAbandoned: "A caller that goes away leaves the others served.", "relay::callers", [Mgr, Relay],
        Habit(Habit::StuckWhenAbandoned);
    LeakWhenAbandoned: "A caller that goes away leaves nothing half done.", "mgr::together", [Mgr, Remove, Capacity],
        Habit(Habit::LeakWhenAbandoned);

    // The process of a backend
    ForgottenByProcess: "A container is known to the next process.", "mgr::restart", [Mgr, Restart],
        Habit(Habit::ForgottenByProcess);
    IdsForgottenByProcess: "Ids are known to the next process.", "mgr::restart", [Mgr, Restart],
        Habit(Habit::IdsForgottenByProcess);
    MappingsForgottenByProcess: "Mappings and shift are known to the next process.", "mgr::restart", [Mgr, Restart],
        Habit(Habit::MappingsForgottenByProcess);

    // The fs daemon
    MountpointMoves: "The mount point stays the same.", "fs::mountpoint", [Fs], Habit(Habit::MountpointMoves);
    MountpointMoved: "The mount point is told.", "relay::fs", [Fs, Relay],
        Mountpoint(|path| *path = nowhere());
    PreRegistrationOfAnother: "The container is made known that is named.", "fs::pre_register", [Fs],
        Id(FsPreRegister);
    PreRegistrationSkipped: "A container is made known.", "fs::pre_register", [Fs], Skipped(FsPreRegister);
    PreRegistrationTwice: "A container is made known once.", "fs::pre_register", [Fs],
        Masked(FsPreRegister, AlreadyExists);
    PreRegistrationTwiceIsPrecondition: "That a container was made known is `AlreadyExists`.", "fs::pre_register", [Fs],
        Kind(FsPreRegister, AlreadyExists, FailedPrecondition);
    FsRegistrationOfAnother: "The container is registered that is named.", "fs::register", [Fs],
        Id(FsRegister);
    FsRegistrationSkipped: "A container is registered.", "fs::register", [Fs], Skipped(FsRegister);
    FsRegistrationOfUnknown: "A container that is not known cannot be registered.", "fs::register", [Fs],
        Masked(FsRegister, NotFound);
    FsRegistrationTwice: "A container is registered once.", "fs::register", [Fs],
        Masked(FsRegister, AlreadyExists);
    FsRegistrationTwiceIsPrecondition: "That a container was registered is `AlreadyExists`.", "fs::register", [Fs],
        Kind(FsRegister, AlreadyExists, FailedPrecondition);
    FsUpdateOfAnother: "The container is told of that is named.", "fs::update", [Fs], Id(FsUpdate);
    FsUpdateOfUnknown: "A container that is not known cannot be told of.", "fs::update", [Fs],
        Masked(FsUpdate, NotFound);
    ForgettingOfAnother: "The container is forgotten that is named.", "fs::unregister", [Fs],
        Id(FsUnregister);
    ForgettingSkipped: "A container is forgotten.", "fs::unregister", [Fs], Skipped(FsUnregister);
    ForgettingOfUnknown: "A container that is not known cannot be forgotten.", "fs::unregister", [Fs],
        Masked(FsUnregister, NotFound);
    FsUpdateSkipped: "The fs daemon is told of a container.", "relay::fs", [Fs, Relay], Skipped(FsUpdate);
    PreRegistrationLosesNetns: "The network namespace is told before a container runs.", "relay::fs", [Fs, Relay],
        Data(FsPreRegister, |data| data.netns = None);
    FsRegistrationLosesInitPid: "`init_pid` of a registration arrives.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| data.init_pid = None);
    FsRegistrationLosesHostname: "`hostname` of a registration arrives.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| data.hostname = None);
    FsRegistrationLosesUids: "`uids` of a registration arrives.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| data.uids = None);
    FsRegistrationLosesGids: "`gids` of a registration arrives.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| data.gids = None);
    FsRegistrationLosesReadOnlyPaths: "`proc_ro_paths` of a registration arrives.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| data.proc_ro_paths = Vec::new());
    FsRegistrationLosesMaskedPaths: "`proc_mask_paths` of a registration arrives.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| data.proc_mask_paths = Vec::new());
    FsRegistrationSwapsRanges: "Ranges of users and of groups are not swapped.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| swap(&mut data.uids, &mut data.gids));
    FsRegistrationSwapsPaths: "Read-only paths and masked paths are not swapped.", "relay::fs", [Fs, Relay],
        Data(FsRegister, |data| swap(&mut data.proc_ro_paths, &mut data.proc_mask_paths));
    FsUpdateLosesCreated: "The time of creation arrives.", "relay::fs", [Fs, Relay],
        Data(FsUpdate, |data| data.created = None);
    FsUpdateRoundsCreated: "The time of creation arrives to the nanosecond.", "relay::fs", [Fs, Relay],
        Data(FsUpdate, |data| data.created = data.created.map(|time| time + Duration::from_nanos(1)));
    ForgettingLosesData: "What is told of a container that is forgotten arrives.", "relay::fs", [Fs, Relay],
        Data(FsUnregister, |data| *data = ContainerData::new(data.id.clone()));
}
