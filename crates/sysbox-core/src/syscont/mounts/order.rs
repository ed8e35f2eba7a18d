//! The order of mounts.

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use super::list::is_bind;
use crate::syscont::{Changes, is_systemd};

/// Where other mounts are expected to be.
const FIRST: [&str; 3] = ["/sys", "/proc", "/dev"];
/// Where systemd's own mounts are.
const OF_SYSTEMD: &str = "/run";

/// Puts the mounts of a spec into the order in which they are to be made: what is at and below `/sys`, `/proc`, `/dev` and, with systemd,
/// `/run`, in this order and by destination; then the others and then bind mounts, as they are listed. A mount comes after those above it
/// and after earlier ones at the same place, whatever its kind: so what is mounted below a bind mount comes after that.
pub fn order(spec: &mut Spec, changes: &mut Changes) {
    let with_systemd = spec.process().as_ref().is_some_and(is_systemd);
    let Some(mounts) = spec.mounts_mut() else { return };
    let order = Ranked::new(mounts, with_systemd).order();
    if order.iter().copied().eq(0..mounts.len()) {
        return;
    }
    let mut slots: Vec<Option<Mount>> = std::mem::take(mounts).into_iter().map(Some).collect();
    // Every index is there once: none is lost and none is taken twice.
    mounts.extend(order.into_iter().filter_map(|index| slots.get_mut(index).and_then(Option::take)));
    changes
        .note("mounts", "ordered: the kernel's file systems come first, and a mount before those below it");
}

/// The place of a mount among all, before what is above it is thought of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// At `/`, below which are all others.
    Root,
    /// At or below the place of this number among the first.
    First(usize),
    Other,
    Bind,
}

/// The mounts of a list, by index. Every list in it is as long as the list of mounts, and holds no other indices.
struct Ranked {
    /// Sorted by destination, then by index: what is above a mount comes before it.
    by_destination: Vec<usize>,
    /// The nearest mount that must be made before: the one before at the same place, else the last at the nearest place above.
    above: Vec<Option<usize>>,
    ranks: Vec<Rank>,
}

impl Ranked {
    fn new(mounts: &[Mount], with_systemd: bool) -> Self {
        let mut by_destination: Vec<usize> = (0..mounts.len()).collect();
        by_destination.sort_by(|a, b| mounts[*a].destination().cmp(mounts[*b].destination()));
        let mut above = vec![None; mounts.len()];
        let mut ranks = vec![Rank::Other; mounts.len()];
        // The mounts from the root on to the one at hand, each below the one before.
        let mut branch: Vec<usize> = Vec::new();
        for &index in &by_destination {
            let destination = mounts[index].destination();
            while branch.pop_if(|last| !destination.starts_with(mounts[*last].destination())).is_some() {}
            above[index] = branch.last().copied();
            let of_above = above[index].map_or(Rank::Root, |above| ranks[above]);
            ranks[index] = rank(&mounts[index], with_systemd).max(of_above);
            branch.push(index);
        }
        Self { by_destination, above, ranks }
    }

    /// The indices of the mounts in the order in which they are to be made.
    fn order(&self) -> Vec<usize> {
        // By destination where the rank is one of the first, else by index.
        let mut wanted = self.by_destination.clone();
        wanted.sort_by_key(|&index| match self.ranks[index] {
            rank @ (Rank::Root | Rank::First(_)) => (rank, 0),
            rank @ (Rank::Other | Rank::Bind) => (rank, index),
        });
        let mut order = Vec::with_capacity(wanted.len());
        let mut is_placed = vec![false; wanted.len()];
        let mut pending = Vec::new();
        for index in wanted {
            let unplaced = |index: &usize| !is_placed[*index];
            let upwards = std::iter::successors(Some(index), |index| self.above[*index]);
            pending.extend(upwards.take_while(unplaced));
            for index in pending.drain(..).rev() {
                is_placed[index] = true;
                order.push(index);
            }
        }
        order
    }
}

fn rank(mount: &Mount, with_systemd: bool) -> Rank {
    let destination = mount.destination();
    if destination == Path::new("/") {
        return Rank::Root;
    }
    if is_bind(mount) {
        return Rank::Bind;
    }
    let first = FIRST.into_iter().chain(with_systemd.then_some(OF_SYSTEMD));
    first
        .enumerate()
        .find(|(_, place)| destination.starts_with(place))
        .map_or(Rank::Other, |(n, _)| Rank::First(n))
}

#[cfg(test)]
mod tests;
