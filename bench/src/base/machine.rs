//! Where and when something was measured.

use humantime::format_rfc3339_seconds;
use std::time::{Duration, SystemTime};

/// The processor's name and how many of them there are.
pub(crate) fn name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let (name, count) = (model.map_or("unknown processor", |(_, name)| name), processors());
    format!("{name}, {count} processors, {}", std::env::consts::ARCH)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// As many as there are processors, less one if that is odd, and two at least.
pub(crate) fn even_processors() -> usize {
    (processors() & !1).max(2)
}

/// The kernel's version, without what a distribution or a host adds to it: that names a machine.
pub(crate) fn kernel() -> String {
    version(&setting("/proc/sys/kernel/osrelease")).to_owned()
}

fn version(release: &str) -> &str {
    let end = release.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(release.len());
    &release[..end]
}

/// The one line of a file in which the kernel says what is set.
pub(crate) fn setting(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

pub(crate) fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time in words, by universal time.
pub(crate) fn date(seconds_since_1970: u64) -> String {
    format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds_since_1970)).to_string()
}

/// The machine, its kernel and the date, for a table that is made now.
pub(crate) fn here_and_now() -> String {
    format!("{}, Linux {}; {}", name(), kernel(), date(seconds_since_1970()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_all_its_parts() {
        assert_eq!(date(1_000_000_000), "2001-09-09T01:46:40Z");
        assert!(here_and_now().contains("Linux") && here_and_now().ends_with('Z'));
    }

    #[test]
    fn of_a_kernel_the_version_is_named() {
        assert_eq!(["6.1.0-32-amd64", "6.12.3", "5.15.0+"].map(version), ["6.1.0", "6.12.3", "5.15.0"]);
    }
}
