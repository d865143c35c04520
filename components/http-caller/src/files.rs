//! Files, by `wasi:filesystem` as the standard library uses it: each operation as it is asked for, without a look before.

use std::fs;

use crate::Answer;

/// Does `what` with the file at `path`; `to` is what is written, or the other path.
pub(crate) fn act(what: &str, path: &str, to: &str) -> Result<Answer, String> {
    let done = match what {
        "read" => fs::read_to_string(path),
        "write" => fs::write(path, to).map(|()| String::new()),
        "remove" => fs::remove_file(path).map(|()| String::new()),
        "folder" => fs::create_dir(path).map(|()| String::new()),
        "rename" => fs::rename(path, to).map(|()| String::new()),
        "copy" => fs::hard_link(path, to).map(|()| String::new()),
        "list" => fs::read_dir(path).and_then(|entries| {
            let mut names = Vec::new();
            for entry in entries {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names.join(" "))
        }),
        _ => return Err(format!("`{what}` is nothing that is done with files")),
    };
    let heard = done.map_err(|error| format!("{:?}: {error}", error.kind()))?;
    Ok(Answer { heard: Some(heard), ..Answer::default() })
}
