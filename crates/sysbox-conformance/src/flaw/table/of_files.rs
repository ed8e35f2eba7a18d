//! The flaws of calls about files: rows of the [table](super).

/// Makes the flaws of these rows and of those about files.
macro_rules! with_flaws_of_files {
    ($($rows:tt)*) => {
        flaws! {
            $($rows)*

            MissingPrepared: "A source that is not there is refused.", "mgr::sources", [Mgr, PrepMounts, Files],
                Masked(PrepMounts, InvalidArgument);
            SourceKept: "A source is owned as before when nobody uses it any more.", "mgr::sources", [Mgr, PrepMounts, Files],
                Spoil(Spoil::SourceKept);
            SourceTakenFromUser: "A source is left to others who use it.", "mgr::sources", [Mgr, PrepMounts, Files],
                Spoil(Spoil::SourceTakenFromUser);
            MountsBeforeIds: "Files are shifted to ids that were given.", "mgr::mounts", [Mgr, ReqMounts, Files],
                Habit(Habit::GivenIdsUnasked);
            VolumeEmpty: "A volume has what the rootfs had.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeEmpty);
            VolumeEmptiedByRestart: "A volume is kept over a restart.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeEmptiedByRestart);
            VolumeEmptiedWhenAsked: "A volume is kept when it is asked for again.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeEmptiedWhenAsked);
            VolumeOpen: "The volumes of Docker and containerd are closed to others.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeMode(0o755));
            VolumeClosed: "Other volumes are open to all.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeMode(0o700));
            VolumeOfRoot: "A volume that is not ID-mapped belongs to the container's root.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeOwner(0));
            VolumeOfNoRoot: "A volume that is ID-mapped belongs to root.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeOwner(1000));
            VolumeFilesOfRoot: "Owners in a volume are those of the rootfs, shifted.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::VolumeFilesOfRoot);
            AddedNotCopiedOut: "What was added to a volume is in the rootfs after a stop.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::AddedUndone(At::Stop));
            ChangedNotCopiedOut: "What was changed in a volume is so in the rootfs after a stop.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::ChangedUndone(At::Stop));
            DeletedNotCopiedOut: "What was deleted in a volume is not in the rootfs after a stop.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::DeletedUndone(At::Stop));
            AddedNotCopiedAtPause: "What was added to a volume is in the rootfs during a pause.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::AddedUndone(At::Pause));
            ChangedNotCopiedAtPause: "What was changed in a volume is so in the rootfs during a pause.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::ChangedUndone(At::Pause));
            DeletedNotCopiedAtPause: "What was deleted in a volume is not in the rootfs during a pause.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::DeletedUndone(At::Pause));
            CopiedOutAsRoot: "What is copied into the rootfs belongs to whom it did inside.", "mgr::volumes", [Mgr, ReqMounts, Files],
                Spoil(Spoil::CopiedOutAsRoot);
            VolumeOutlivesRemoval: "A removed container has no volumes.", "mgr::volumes", [Mgr, ReqMounts, Files, Remove],
                Spoil(Spoil::VolumeOutlivesRemoval);
            StoppedCloned: "A stopped container is given no clone.", "mgr::clone", [Mgr, CloneRootfs],
                Masked(CloneRootfs, FailedPrecondition);
            OtherCloneEachTime: "A clone is the same when it is asked for again.", "mgr::clone", [Mgr, CloneRootfs],
                Habit(Habit::OtherCloneEachTime);
            OffsetsUnchecked: "Owners are shifted to ids of the host that are not the container's.", "mgr::clone", [Mgr, CloneRootfs],
                Masked(ChownClonedRootfs, InvalidArgument);
            OffsetsUncheckedAreInternal: "Offsets that lead elsewhere are `InvalidArgument`.", "mgr::clone", [Mgr, CloneRootfs],
                Kind(ChownClonedRootfs, InvalidArgument, Internal);
            OffsetOfGroupsUnchecked: "The offset of groups is checked too.", "mgr::clone", [Mgr, CloneRootfs],
                Offsets(|offsets| offsets.gid = offsets.uid);
            OffsetOfUsersUnchecked: "The offset of users is checked too.", "mgr::clone", [Mgr, CloneRootfs],
                Offsets(|offsets| offsets.uid = offsets.gid);
            ShiftedWhilePaused: "The clone of a paused container is not shifted.", "mgr::clone", [Mgr, CloneRootfs],
                Habit(Habit::ShiftedWhilePaused);
            ShiftOutlivesStop: "A clone is not shifted after a stop.", "mgr::clone", [Mgr, CloneRootfs],
                Habit(Habit::ShiftOutlivesStop);
            ShiftForgottenByPause: "A clone that is shifted is so after a pause.", "mgr::clone", [Mgr, CloneRootfs],
                Habit(Habit::ShiftForgottenByPause);
            RevertForgottenByResume: "A clone that is shifted back during a pause stays so.", "mgr::clone", [Mgr, CloneRootfs],
                Habit(Habit::RevertForgottenByResume);
            OwnersNotShifted: "Owners in a clone are shifted by the offsets.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::OwnersKept(At::Shift));
            OwnersNotShiftedBack: "Owners in a clone are shifted back.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::OwnersKept(At::Revert));
            OwnersNotShiftedBackAtPause: "Owners in the clone of a paused container are as made.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::OwnersKept(At::Pause));
            OwnersNotShiftedAgain: "Owners in the clone of a resumed container are shifted again.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::OwnersKept(At::Resume));
            OwnersNotShiftedBackAtStop: "Owners are as made after a stop.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::OwnersKept(At::Stop));
            CloneLosesFiles: "A clone has the files of the rootfs.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::CloneLosesFiles);
            AddedToCloneLost: "What is added to a clone is in the rootfs.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::AddedUndone(At::Revert));
            DeletedFromCloneBack: "What is deleted from a clone is not in the rootfs.", "mgr::cloned", [Mgr, CloneRootfs, Files],
                Spoil(Spoil::DeletedUndone(At::Revert));
            CloneOutlivesRemoval: "A removed container has no clone.", "mgr::cloned", [Mgr, CloneRootfs, Files, Remove],
                Spoil(Spoil::CloneOutlivesRemoval);
        }
    };
}
pub(super) use with_flaws_of_files;
