//! C23, POSIX and the malloc manual page, promise by promise.

use std::fs;
use support::installed::{Installed, cases, command, describe, run, succeed};
use support::packages;

/// The promise that no library keeps: the control.
const CONTROL: &str = "control";
/// Begins the names of promises that not every glibc keeps.
const OWN: &str = "own_";

#[test]
fn every_promise_is_kept() {
    let installed = Installed::new();
    let program = installed.compile("promises.c");
    let promises = cases(&program);
    assert!(promises.iter().any(|name| name == CONTROL));
    let mut broken = Vec::new();
    for name in promises {
        let output = run(installed.preloaded(&program).arg(&name));
        if output.status.success() == (name == CONTROL) {
            broken.push(format!("{name}: {}", describe(&output)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The same program runs on the C library's own malloc, which has to keep the same promises.
#[test]
fn the_promises_are_those_of_the_c_library() {
    let installed = Installed::new();
    let program = installed.compile("promises.c");
    for name in cases(&program).iter().filter(|name| !name.starts_with(OWN)) {
        let output = run(command(&program).arg(name));
        assert_eq!(output.status.success(), name != CONTROL, "{name}: {}", describe(&output));
    }
}

/// What a program reads out of `malloc_info`: elements and attributes in their order, without the sizes of what is free.
const SHAPE: &str = "import sys, xml.etree.ElementTree as tree\n\
    root = tree.fromstring(sys.stdin.read())\n\
    [sizes.clear() for sizes in root.iter('sizes')]\n\
    heap = root.find('heap')\n\
    [root.remove(other) for other in root.findall('heap')[1:]]\n\
    [(element.attrib.pop('heaps', 0)) for element in root.iter()]\n\
    root.iter and [print(e.tag, e.get('type'), sorted(e.attrib), [int(e.get(k)) for k in ('nr', 'version') if k in e.attrib]) for e in root.iter()]\n\
    assert all(int(e.get('size', 0)) >= 0 and int(e.get('count', 0)) >= 0 for e in root.iter())\n";

/// `malloc_info` is well-formed, and has the shape of glibc's.
#[test]
fn malloc_info_has_the_shape_of_glibcs() {
    let installed = Installed::new();
    packages::program(&["python3"], "python3");
    let source = installed.directory.path().join("info.c");
    let program = installed.directory.path().join("info");
    let text = "#include <malloc.h>\n#include <stdio.h>\n#include <stdlib.h>\nint main(void) { int i;\n\
        for (i = 0; i < 1000; i++) { char *volatile block = malloc(i * 100); if (i % 3) free(block); }\n\
        setbuf(stdout, NULL);\n\
        fprintf(stderr, \"type=\\\"current\\\" size=\\\"%zu\\\"\", mallinfo2().arena); return malloc_info(0, stdout); }\n";
    fs::write(&source, text).expect("a source file");
    succeed(command("cc").args(["-w", "-fno-builtin"]).arg(&source).arg("-o").arg(&program));
    let shape = |info: String| {
        let file = installed.directory.path().join("info.xml");
        fs::write(&file, info).expect("a file");
        let script = "exec python3 -c \"$1\" <\"$2\"";
        succeed(command("sh").args(["-c", script, "sh", SHAPE]).arg(file))
    };
    let (ours, glibcs) = (succeed(&mut installed.preloaded(&program)), succeed(&mut command(&program)));
    // The figures are those that the other functions tell.
    let told = run(&mut installed.preloaded(&program)).stderr;
    assert!(!told.is_empty() && ours.contains(&*String::from_utf8_lossy(&told)), "{ours}");
    assert!(!ours.contains("type=\"rest\" count=\"0\""), "{ours}");
    assert_eq!(shape(ours), shape(glibcs));
}
