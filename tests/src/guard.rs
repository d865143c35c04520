//! Ends what a test process leaves behind when it is killed itself, by a time limit or a person. It knows process
//! groups that we started and nothing else. A group that was reaped is forgotten first, so no stranger is hit.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Reads groups to watch until its input ends, which it does when the test process is gone, and kills those left.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
left=
while read -r verb group; do
    case $verb in
        watch) left="$left $group" ;;
        forget)
            others=
            for one in $left; do [ "$one" = "$group" ] || others="$others $one"; done
            left=$others ;;
    esac
done
for group in $left; do kill -9 "-$group" 2>/dev/null; done
"#;

/// The group of this process is to be killed when we are gone.
pub(crate) fn watch(group: u32) {
    tell("watch", group);
}

/// The group is gone; its number may soon be another's.
pub(crate) fn forget(group: u32) {
    tell("forget", group);
}

fn tell(verb: &str, group: u32) {
    static GUARD: OnceLock<Mutex<(Child, ChildStdin)>> = OnceLock::new();
    let guard = GUARD.get_or_init(|| Mutex::new(start()));
    let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(guard.1, "{verb} {group}").expect("the guard of the test's processes has ended");
}

fn start() -> (Child, ChildStdin) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own: what kills the test's group must not kill the guard.
    let mut guard = shell.process_group(0).spawn().expect("cannot start /bin/sh");
    let input = guard.stdin.take().expect("the guard has an input");
    (guard, input)
}
