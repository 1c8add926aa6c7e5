//! Errors as Python's exceptions, each with the program's sentence.

use std::process::ExitCode;

use ddppo::run::text::one_line;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::commands;

/// `ddppo.UsageError` for a mistake that other arguments would have mended, `ddppo.Error` for all else; `cause` is the exception of the user's
/// own code that it began with.
pub fn exception(py: Python<'_>, error: &anyhow::Error, cause: Option<PyErr>) -> PyErr {
    let mistake = commands::exit_code(error) == ExitCode::from(2);
    let exception = of_class(py, mistake, in_python(&one_line(&format!("{error:#}"))));
    exception.set_cause(py, cause);
    exception
}

/// A mistake, in a sentence.
pub fn usage(py: Python<'_>, sentence: &str) -> PyErr {
    of_class(py, true, sentence.to_owned())
}

/// A sentence with what is typed in Python where it says what to type on the command line.
fn in_python(sentence: &str) -> String {
    let Some((before, rest)) = sentence.split_once("`ddppo resume ") else {
        return sentence.to_owned();
    };
    match rest.split_once('`') {
        Some((run, after)) => format!("{before}`ddppo.Run(\"{run}\").resume()`{after}"),
        None => sentence.to_owned(),
    }
}

fn of_class(py: Python<'_>, mistake: bool, sentence: String) -> PyErr {
    let name = if mistake { "UsageError" } else { "Error" };
    let class = py.import("ddppo._errors").and_then(|module| module.getattr(name));
    match class.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
        Ok(class) => PyErr::from_type(class, sentence),
        Err(error) => error,
    }
}

/// What an exception says, on a line: "ValueError: no paper".
pub fn in_words(py: Python<'_>, error: &PyErr) -> String {
    let class = error
        .get_type(py)
        .name()
        .map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    one_line(&format!("{class}: {}", error.value(py)))
}
