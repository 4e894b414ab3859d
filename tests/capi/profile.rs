//! The profile of an unmodified program: what it says of places that are known, that each way to end leaves it, and that pprof
//! reads it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::installed::{Installed, command, describe, run, succeed};
use support::packages;

fn compile(installed: &Installed) -> PathBuf {
    let none: [&OsStr; 0] = [];
    installed.build("profile", &["cc", "-g"], "profile.c", &none)
}

/// The program with a profile that counts each block.
fn profiled(installed: &Installed, program: &Path, way: &str, path: &Path) -> Command {
    let mut command = installed.preloaded(program);
    command.arg(way).env("HMALLOC_PROFILE", path).env("HMALLOC_PROFILE_EVERY", "1");
    command
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn with_ending(path: &Path, ending: impl std::fmt::Display) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// The lines of the list that say how much, without their frames.
fn amounts(list: &str) -> Vec<&str> {
    list.lines().filter(|line| line.contains(" blocks") && !line.starts_with(' ')).collect()
}

#[track_caller]
fn is_whole(path: &Path, output: &Output) {
    let list = read(&with_ending(path, ".leaks"));
    let first = "hmalloc: 760,000 bytes in 521 blocks are in use, by 521 samples: all blocks";
    let places = ["500,000 bytes in 500 blocks", "200,000 bytes in 1 blocks", "60,000 bytes in 20 blocks"];
    let right = amounts(&list)
        .iter()
        .map(|line| line.trim_end_matches(", allocated by"))
        .eq([first].iter().chain(&places).copied());
    // What a libc keeps for itself would be more.
    assert!(right, "{list}{}", describe(output));
    let collapsed = read(&with_ending(path, ".collapsed"));
    let sum: u64 =
        collapsed.lines().map(|line| line.rsplit_once(' ').expect("a number").1.parse::<u64>().expect("one")).sum();
    let freed: u64 = (16..316).map(|size| 4 * size).sum();
    assert_eq!(sum, 760_000 + freed, "{collapsed}");
    assert!(fs::read(path).expect("the profile").len() > 500);
}

#[test]
fn each_way_to_end_leaves_the_profile() {
    let installed = Installed::new();
    let (program, folder) = (compile(&installed), installed.directory.path());
    let ways = [("return", 0), ("exit", 0), ("_exit", 0), ("_Exit", 0), ("quick_exit", 0)];
    let deaths =
        [("abort", libc::SIGABRT), ("term", libc::SIGTERM), ("segv", libc::SIGSEGV), ("term-small", libc::SIGTERM)];
    for (way, signal) in ways.into_iter().chain(deaths) {
        let path = folder.join(format!("{way}.pb"));
        let output = run(&mut profiled(&installed, &program, way, &path));
        let right = if signal == 0 { output.status.code() == Some(3) } else { output.status.signal() == Some(signal) };
        assert!(right && output.stderr.is_empty(), "{way}: {}", describe(&output));
        is_whole(&path, &output);
    }
}

/// Another end that comes while the files are written waits for them: the last of them has its last line.
#[test]
fn a_second_end_does_not_cut_the_files_off() {
    let installed = Installed::new();
    let (program, folder) = (compile(&installed), installed.directory.path());
    for way in ["meanwhile-_exit", "meanwhile-kill"] {
        let path = folder.join(format!("{way}.pb"));
        let begun = with_ending(&path, ".collapsed");
        let output = run(profiled(&installed, &program, way, &path).arg(&begun));
        // Which of two ends is first once the files are written is open.
        let killed = way.ends_with("kill") && output.status.signal() == Some(libc::SIGTERM);
        assert!(killed || output.status.code() == Some(3), "{}", describe(&output));
        let list = fs::read_to_string(with_ending(&path, ".leaks")).unwrap_or_default();
        assert!(list.ends_with("\nmore places have less\n") && read(&begun).lines().count() > 4000, "{way}: {list}");
    }
}

/// A filter that kills for reading memory in a way that a program may not know: nothing but build ids is missing.
#[test]
fn a_filter_does_not_kill_who_writes() {
    let installed = Installed::new();
    let (program, path) = (compile(&installed), installed.directory.path().join("filter.pb"));
    let output = run(&mut profiled(&installed, &program, "filter", &path));
    assert!(output.status.code() == Some(3) && output.stderr.is_empty(), "{}", describe(&output));
    is_whole(&path, &output);
}

/// Until there is a sample, a handler for faults is the program's affair: `std` installs its own only where there is none.
#[test]
fn faults_are_left_to_the_program_at_start() {
    let installed = Installed::new();
    let (program, path) = (compile(&installed), installed.directory.path().join("faults.pb"));
    let mut profiled = profiled(&installed, &program, "faults", &path);
    let output = run(profiled.env_remove("HMALLOC_PROFILE_EVERY"));
    assert!(output.status.code() == Some(3), "{}", describe(&output));
    let output = run(installed.preloaded(&program).arg("faults").env("HMALLOC_GUARDS", "1"));
    assert!(output.status.code() == Some(3), "{}", describe(&output));
}

#[test]
fn processes_do_not_write_over_each_other() {
    let installed = Installed::new();
    let (program, folder) = (compile(&installed), installed.directory.path());
    let path = folder.join("fork.pb");
    let output = run(&mut profiled(&installed, &program, "fork", &path));
    is_whole(&path, &output);
    let child = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let list = read(&with_ending(&path, format!(".{child}.leaks")));
    assert!(list.starts_with("hmalloc: 781,000 bytes in 528 blocks are in use"), "{list}");
    // The child of a vfork is no process of its own yet.
    let path = folder.join("vfork.pb");
    let output = run(&mut profiled(&installed, &program, "vfork", &path));
    is_whole(&path, &output);
    let child = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(!with_ending(&path, format!(".{child}")).exists());
    // What the program runs finds the path taken.
    let path = folder.join("system.pb");
    let output = run(profiled(&installed, &program, "system", &path).arg("/bin/true"));
    is_whole(&path, &output);
    let others =
        fs::read_dir(folder).expect("the folder").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert!(others.into_iter().any(|name| name.starts_with("system.pb.") && name[10..].parse::<u32>().is_ok()));
}

/// What cannot be written is said, and nothing else changes.
#[test]
fn a_path_that_cannot_be_written_is_said() {
    let installed = Installed::new();
    let program = compile(&installed);
    let output = run(&mut profiled(&installed, &program, "return", Path::new("/nowhere/heap.pb")));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(3) && said.contains("hmalloc: HMALLOC_PROFILE cannot be written, ENOENT"),
        "{said}"
    );
    let output = run(profiled(&installed, &program, "return", Path::new("")).env("HMALLOC_PROFILE_EVERY", "some"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("HMALLOC_PROFILE_EVERY is no number of bytes"), "{said}");
}

/// A table of pprof's, as lines of the flat value and the function.
fn table(program: &Path, arguments: &[&OsStr]) -> String {
    let go = packages::program(&["go"], "golang-go");
    let mut pprof = command(go);
    pprof
        .args(["tool", "pprof", "-top", "-nodecount=100", "-unit=B"])
        .args(arguments)
        .env("HOME", program.parent().expect("a folder"));
    succeed(&mut pprof)
}

#[track_caller]
fn has(table: &str, flat: &str, function: &str) {
    let found = table.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.first() == Some(&flat) && words.get(5) == Some(&function)
    });
    assert!(found, "{function} has not {flat} in\n{table}");
}

#[test]
fn pprof_names_the_places_and_their_difference() {
    let installed = Installed::new();
    let (program, folder) = (compile(&installed), installed.directory.path());
    let (path, forked) = (folder.join("names.pb"), folder.join("forked.pb"));
    run(&mut profiled(&installed, &program, "return", &path));
    let output = run(&mut profiled(&installed, &program, "fork", &forked));
    let child = with_ending(&forked, format!(".{}", String::from_utf8_lossy(&output.stdout).trim()));
    let index = |name: &str| format!("-sample_index={name}");
    for (name, most, less, gone) in [
        ("inuse_space", "500000B", "60000B", None),
        ("inuse_objects", "500B", "20B", None),
        ("alloc_space", "500000B", "60000B", Some("198600B")),
        ("alloc_objects", "500B", "20B", Some("600B")),
    ] {
        let table = table(&program, &[index(name).as_ref(), program.as_os_str(), path.as_os_str()]);
        has(&table, most, "leaks_most");
        has(&table, less, "leaks_less");
        match gone {
            Some(gone) => has(&table, gone, "comes_and_goes"),
            None => assert!(!table.contains("comes_and_goes"), "{table}"),
        }
    }
    let base = format!("-diff_base={}", forked.display());
    let difference =
        table(&program, &[index("inuse_space").as_ref(), base.as_ref(), program.as_os_str(), child.as_os_str()]);
    has(&difference, "21000B", "leaks_less");
    assert!(!difference.contains("leaks_most"), "{difference}");
}

/// One sample in 2 KiB; some 760,000 bytes are left, and the estimate is within a quarter.
#[test]
fn samples_stand_for_all() {
    let installed = Installed::new();
    let (program, path) = (compile(&installed), installed.directory.path().join("sampled.leaks"));
    let mut command = profiled(&installed, &program, "return", &path);
    let output = run(command.env("HMALLOC_PROFILE_EVERY", "2048"));
    let list = read(&path);
    let number = list.split_whitespace().nth(1).map(|number| number.replace(',', ""));
    let bytes: f64 =
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{list}{}", describe(&output)));
    assert!((bytes / 760_000.0 - 1.0).abs() < 0.25, "{list}");
    assert!(amounts(&list)[0].ends_with(" samples, one in 2,048 bytes"), "{list}");
    assert!(!with_ending(&path, ".leaks").exists(), "one file, by its ending");
}
