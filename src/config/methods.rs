//! What a configuration knows of a method: name, what it is, and the settings that its runs do not have. The list itself is in
//! `algo/mod.rs`.

use super::ConfigError;
use super::suggest;
use crate::methods::Algorithm;

/// Makes of one line a method: its module, its variant of [`Algorithm`] and its place in `method`. The line says the file under
/// `algo/`, after which the folder under `presets/` is named too; the type that is the method; what it is; and the sections
/// and keys that it has no use for.
macro_rules! methods {
    ($($name:ident::$method:ident, $summary:literal, without [$($unused:literal),*];)*) => {
        $(pub mod $name;)*

        /// A method, as configurations name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Algorithm {
            $(#[doc = $summary] $method,)*
        }

        impl Algorithm {
            /// All methods.
            pub const ALL: &[Self] = &[$(Self::$method,)*];

            /// The method's name, as in configurations.
            pub fn name(self) -> &'static str {
                match self { $(Self::$method => stringify!($name),)* }
            }

            /// What it is, in a sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$method => $summary,)* }
            }

            /// Sections and keys that runs of the method do not have.
            pub fn unused(self) -> &'static [&'static str] {
                match self { $(Self::$method => &[$($unused),*],)* }
            }

            /// Task name and text of each preset; that for robots of the user's own comes last.
            pub(crate) fn presets(self) -> &'static [(&'static str, &'static str)] {
                match self { $(Self::$method => $crate::config::presets!($name),)* }
            }
        }

        /// The method of this name.
        pub fn method(algorithm: Algorithm) -> &'static dyn Method {
            match algorithm { $(Algorithm::$method => &$name::$method,)* }
        }
    };
}
pub(crate) use methods;

impl Algorithm {
    /// The method of this name.
    ///
    /// # Errors
    /// When there is none: the message names all.
    pub fn parse(name: &str) -> Result<Self, ConfigError> {
        Self::ALL.iter().copied().find(|method| method.name() == name).ok_or_else(|| {
            let names = || Self::ALL.iter().map(|method| method.name());
            ConfigError::NoMethod {
                name: name.to_owned(),
                hint: suggest::hint(name, names()),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// Whether runs of the method have this section or key.
    pub fn uses(self, key: &str) -> bool {
        !self.unused().iter().any(|unused| {
            key.strip_prefix(unused).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}
