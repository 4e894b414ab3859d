//! The numbers of a profile at one time.

use crate::central::spans::OutOfMemory;
use crate::ground::sites::{Amount, SITES_MAX, Sites};
use crate::kernel::brk::{map_alone, unmap_alone};

/// The numbers of a [profile](crate::Profile) at one time, in a mapping of their own that is unmapped when this is dropped.
#[derive(Debug)]
pub struct Snapshot {
    places: &'static [[Amount; 2]],
}

impl Snapshot {
    pub(super) fn take(sites: &Sites) -> Result<Self, OutOfMemory> {
        let mapping = map_alone(size_of::<[[Amount; 2]; SITES_MAX]>()).map_err(|_| OutOfMemory)?;
        let first = core::ptr::with_exposed_provenance_mut::<[Amount; 2]>(mapping);
        // SAFETY: a mapping of that size, which is nobody else's; zeros are amounts.
        let places = unsafe { core::slice::from_raw_parts_mut(first, SITES_MAX) };
        for (number, place) in places.iter_mut().enumerate().take(sites.count()) {
            let site = sites.site(number);
            *place = [site.allocated, site.freed];
        }
        Ok(Self { places })
    }

    /// What was allocated at a place, and what of it was freed.
    pub(super) fn amounts(&self, number: usize) -> (Amount, Amount) {
        self.places.get(number).map_or_else(Default::default, |&[allocated, freed]| (allocated, freed))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // SAFETY: mapped by `take`; what was borrowed of it is gone.
        unsafe { unmap_alone(self.places.as_ptr().addr(), size_of_val(self.places)) };
    }
}
