//! A frame as text: the file and the address in it, as `addr2line -e FILE ADDRESS` takes them.

use crate::kernel::modules::Modules;
use core::fmt::{self, Write};

/// The address of an instruction in the call, from the return address after it: in a list of lines or functions a call that is
/// the last instruction of one would count for the next.
pub(super) fn call_before(return_address: usize) -> usize {
    return_address.saturating_sub(1)
}

/// Writes `FILE+0xADDRESS`; the whole path of the file, or its last part only.
pub(super) fn write_frame(
    out: &mut impl Write,
    modules: Option<&Modules>,
    return_address: usize,
    whole_path: bool,
) -> fmt::Result {
    let address = call_before(return_address);
    let found = modules.and_then(|modules| Some((modules, modules.all()[modules.around(address)?])));
    let Some((modules, module)) = found else { return write!(out, "{address:#x}") };
    let path = modules.path(&module);
    let from = if whole_path { 0 } else { path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1) };
    for &byte in path.get(from..).unwrap_or_default() {
        // What separates frames, and numbers from them, is not in them.
        out.write_char(if byte.is_ascii_graphic() && byte != b';' { char::from(byte) } else { '_' })?;
    }
    write!(out, "+{:#x}", address.wrapping_sub(module.bias))
}
