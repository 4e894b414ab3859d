//! A scenario that does not come to its end must not pass, however its process ends.

use support::child::observe;

#[test]
fn a_process_that_leaves_early_has_not_finished() {
    let ended = observe(&a_process_that_leaves_early_has_not_finished, "", &[], |_| std::process::exit(0));
    assert!(!ended.finished, "{ended:?}");
}

#[test]
fn a_scenario_that_panics_has_not_finished() {
    let ended = observe(&a_scenario_that_panics_has_not_finished, "", &[], |_| panic!("as planned"));
    assert!(!ended.finished, "{ended:?}");
    assert!(ended.stderr.contains("as planned"), "{ended:?}");
}

#[test]
fn a_process_that_is_killed_has_not_finished() {
    let ended = observe(&a_process_that_is_killed_has_not_finished, "", &[], |_| std::process::abort());
    assert!(!ended.finished && ended.signal == Some(libc::SIGABRT), "{ended:?}");
}

#[test]
fn the_argument_and_the_environment_arrive() {
    let test = &the_argument_and_the_environment_arrive;
    let ended = observe(test, "red", &[("HMALLOC_TEST_CANARY", "blue")], |argument| {
        assert_eq!(argument, "red");
        assert_eq!(std::env::var("HMALLOC_TEST_CANARY").as_deref(), Ok("blue"));
    });
    assert!(ended.finished, "{ended:?}");
}
