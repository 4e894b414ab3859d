//! The simulator, and the language of its scripts.

use crate::solved::workshop;
use learn::script::Script;
use learn::sim::sim;

fn played(arguments: &[&str]) -> (u8, String) {
    let mut output = Vec::new();
    let status = sim(&workshop(), arguments, &mut output).expect("a vector can be written");
    let text = String::from_utf8(output).expect("text");
    println!("{text}");
    (status, text)
}

#[test]
fn a_script_is_read_as_it_is_written() {
    for text in [
        "a=malloc(24) b=malloc(100) free(a)",
        "break(5) a=malloc(max-15) b=calloc(2,8) b=realloc(b,90) free(b+8) free(b-4) free(null)",
        "refuse(raise) refuse(lower) allow() other(64) trim()",
    ] {
        let script = Script::parse(text).expect("a script");
        assert_eq!(script.to_string(), text);
    }
    let spaced = Script::parse("a = malloc( 1k ) ; # a comment\n free ( a )").expect("a script");
    assert_eq!(spaced.to_string(), "a=malloc(1024) free(a)");
}

#[test]
fn a_mistake_in_a_script_is_named_with_its_column() {
    for (text, column, what) in [
        ("a=malloc(24) free(b)", 19, "no block \"b\""),
        ("a=malloc(24) a=malloc(8)", 14, "is live"),
        ("a=malloc()", 10, "a number of bytes"),
        ("a=malloc(24", 12, "the line ends"),
        ("malloc(24)", 1, "name the block"),
        ("a=malloc(24) fre(a)", 14, "no call \"fre\""),
        ("a=mallok(1)", 3, "gives no block"),
        ("a=malloc(24) )", 14, "a call is wanted"),
        ("a=malloc(12x)", 10, "no number"),
        ("a=malloc(1) break(5)", 13, "before all calls"),
        ("refuse(all)", 8, "raise or lower"),
        ("a=malloc(1) b=realloc(a,2)", 23, "keeps its name"),
        ("1=malloc(2)", 1, "a letter comes first"),
    ] {
        let wrong = Script::parse(text).expect_err(text);
        assert_eq!((wrong.line, wrong.column), (1, column), "{text}: {wrong}");
        assert!(wrong.what.contains(what), "{text}: {wrong}");
    }
    let wrong = Script::parse("a=malloc(1)\nfree(c)").expect_err("an unknown name");
    assert_eq!((wrong.line, wrong.column), (2, 6));
    // The simulator shows where.
    let (status, text) = played(&["a=malloc(24) free(b)"]);
    assert_eq!(status, 1);
    assert!(text.contains("column 19") && text.ends_with("free(b)\n                    ^\n"), "{text}");
}

#[test]
fn stage_4_is_drawn_call_by_call() {
    let (status, text) = played(&["--stage", "4", "a=malloc(24) b=malloc(100) free(a) c=malloc(8)"]);
    assert_eq!(status, 0);
    for line in [
        " 1. a=malloc(24)  ->  +32",
        "          +0  header 32   payload     32  a",
        " 3. free(a)",
        "          +0  header 32   payload     32  free",
        "    ##..##bbbbbbb|",
        " 4. c=malloc(8)  ->  +32",
        "    * the break was raised by 64 bytes",
        "    asked for 108 of 208 bytes (51 %); headers 64; slack 36; free 0, largest 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn every_heap_plays() {
    let script = "a=malloc(21) b=malloc(200) c=malloc(40) free(b) d=malloc(24)";
    for stage in ["1", "2", "3", "4", "5", "xv6", "heap"] {
        let (status, text) = played(&["--stage", stage, script]);
        assert_eq!(status, 0, "{stage}: {text}");
        assert_eq!(text.matches("the break\n").count(), 5, "{stage}: {text}");
    }
    let (status, text) = played(&["--stage", "heap", "--brief", "a=malloc(48) free(a) free(a) free(a+8)"]);
    assert_eq!(status, 0);
    assert!(text.contains("free(a)  ->  AlreadyFree") && text.contains("free(a+8)  ->  Misaligned"), "{text}");
}

#[test]
fn what_a_wrong_free_destroys_is_shown() {
    // Stage 1 believes the pointer, and the byte that it writes is one of the size in a header.
    let (status, text) = played(&["--stage", "1", "a=malloc(24) b=malloc(8) free(b-4) c=malloc(1)"]);
    assert!(status == 0 && text.contains("! a header says that its block reaches beyond the break"), "{text}");
    let (status, text) = played(&["--stage", "1", "a=malloc(40) free(a+20)"]);
    assert_eq!(status, 0);
    assert!(text.contains("! bytes of a were written by this call"), "{text}");
}

/// A heap may write what it does: that is shown, and its answers are the same.
#[test]
fn what_a_heap_writes_is_kept_apart() {
    let script = Script::parse("a=malloc(24) free(a) b=malloc(8)").expect("a script");
    let [writes, silent] = ["p1", "r1"].map(|heap| workshop().play(heap, &script, true).expect("it builds"));
    assert!(writes.written.starts_with("free 0x") && writes.written.lines().count() == 1, "{writes:?}");
    assert_eq!((writes.steps, writes.end), (silent.steps, silent.end));
}

#[test]
fn a_wrong_option_gets_the_usage() {
    for arguments in [
        &[][..],
        &["--stage", "9", "a=malloc(1)"],
        &["--what"],
        &["a=malloc(1)", "free(a)"],
        &["--stage"],
        &["--file", "/nowhere"],
    ] {
        let (status, text) = played(arguments);
        assert!(status == 1 && text.contains("usage: sim"), "{arguments:?}: {text}");
    }
    let (status, text) = played(&["--stage", "4", "a=calloc(2,8)"]);
    assert!(status == 1 && text.contains("come with stage 5"), "{text}");
}
