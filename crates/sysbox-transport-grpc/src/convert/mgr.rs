//! The messages of `sysboxMgrStateChannel` and of our extension of it.

mod replies;
mod requests;

use sysbox_core::ShiftfsMark;

use super::{ConvertError, value};
use crate::generated::pb;

impl TryFrom<&ShiftfsMark> for pb::ShiftfsMark {
    type Error = ConvertError;

    fn try_from(mark: &ShiftfsMark) -> Result<Self, ConvertError> {
        let ShiftfsMark { source, readonly } = mark;
        Ok(Self { source: value::path_text("source", source)?, readonly: *readonly })
    }
}

impl TryFrom<pb::ShiftfsMark> for ShiftfsMark {
    type Error = ConvertError;

    fn try_from(message: pb::ShiftfsMark) -> Result<Self, ConvertError> {
        let pb::ShiftfsMark { source, readonly } = message;
        Ok(Self { source: value::path("source", source)?, readonly })
    }
}
