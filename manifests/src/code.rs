//! Every diagnostic code of a manifest, each with what it stands for.
//!
//! A code is never given to another problem and never renamed: scripts and documents hold on to it. E0331 belongs to
//! the manager, which alone knows what a component imports.

/// What a code stands for, in one sentence; `None` when this crate has no such code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        /// Every code with its meaning, in order of the numbers.
        pub const ALL: &[(&str, &str)] = &[$(($code, $meaning)),*];
        $(pub(crate) const $name: &str = $code;)*
    };
}

codes! {
    INTERNAL = "E0300", "A rule failed to say what is wrong. This is a bug of Lath.";
    EMPTY = "E0301", "The file holds no manifest.";
    TOO_LARGE = "E0302", "The file has more bytes than a manifest may have.";
    ENCODING = "E0303", "The file is not UTF-8 text.";
    SYNTAX = "E0304", "The file is neither YAML nor JSON.";
    SEVERAL_DOCUMENTS = "E0305", "The file holds more than one document; a manifest is one file.";
    TOO_DEEP = "E0306", "Lists and mappings are nested deeper than a manifest may be.";
    ALIASES = "E0307", "Aliases repeat more than a manifest may hold, or contain themselves.";
    DUPLICATE_KEY = "E0308", "A mapping has the same key twice.";
    UNSUPPORTED_YAML = "E0309", "Custom tags, merge keys and keys that are not text have no meaning in a manifest.";
    MISSING_FIELD = "E0310", "A field that must be there is not.";
    UNKNOWN_FIELD = "E0311", "A field is not known where it stands; mostly a typing error.";
    DANGLING_LINK = "E0312", "A link leads to a component that the manifest does not have.";
    WRONG_TYPE = "E0313", "A value is of another kind than the field takes.";
    UNQUOTED = "E0314", "A number or truth value stands where text is needed; it must be quoted.";
    UNSUPPORTED_KIND = "E0315", "`apiVersion` or `kind` names something that is not an application.";
    APP_NAME = "E0316", "The name of the app breaks the grammar of names, or is reserved.";
    COMPONENT_NAME = "E0317", "The name or id of a component breaks its grammar.";
    VERSION = "E0318", "The version of the app cannot be one.";
    METADATA = "E0319", "A label or annotation has a key or value that is not allowed.";
    DUPLICATE_COMPONENT = "E0320", "Two components have the same name.";
    DUPLICATE_ID = "E0321", "Two components would have the same id in the lattice.";
    OUT_OF_RANGE = "E0322", "A number, duration or size is outside its bounds.";
    COUNT = "E0323", "There are fewer or more of something than a manifest may have.";
    COMPONENT_TYPE = "E0324", "The type of a component, trait or policy is not known and looks like a typing error.";
    SOURCE = "E0325", "A component needs exactly one of `image` and `application`.";
    IMAGE = "E0326", "The image reference breaks the grammar of references.";
    SHARED = "E0327", "A shared component belongs to another app and takes neither config, secrets nor a scaler here.";
    SCALERS = "E0328", "A component has more than one scaler.";
    SPREADS = "E0329", "The spreads of a scaler cannot be followed.";
    LINK = "E0330", "A link does not name WIT interfaces, or has a name that cannot be one.";
    DUPLICATE_LINK = "E0332", "A component has the same link twice.";
    SELF_LINK = "E0333", "A link leads back to its own component.";
    INTERFACE = "E0334", "A WIT interface is not known and looks like a typing error.";
    CONFIG = "E0335", "A named configuration is defined in ways that contradict each other.";
    SECRET = "E0336", "A secret does not lead to a policy that names a backend.";
    POLICY = "E0337", "A policy cannot be followed, or its name is taken.";
    UNIT = "E0338", "A duration, size or share is not written as a number with a unit.";
    HTTP = "E0339", "The configuration of the HTTP server cannot be followed.";
    TEXT = "E0341", "A text is empty, too long, or has characters that are not allowed there.";
    PROBE = "E0342", "The probe of a component cannot be made.";
    GRANT = "E0343", "A grant does not name a host, network, variable, argument or folder that can be granted.";
    TRUNCATED = "E0399", "There are more problems than are listed.";
    MOVING_TAG = "W0340", "The image tag moves: the same reference may stand for other code tomorrow.";
    IGNORED_FIELD = "W0341", "A field has no meaning where it stands and is ignored.";
    DEPRECATED = "W0342", "An old form is accepted; the new one says the same.";
    UNKNOWN_TRAIT = "W0343", "A trait or policy of a type that Lath does not know is kept and has no effect.";
    NEVER_STARTED = "W0344", "A component without a scaler is never started.";
    UNKNOWN_INTERFACE = "W0345", "A WIT interface is not among those that are known in its namespace.";
    CAPABILITY_LINK = "W0346", "A link between two capabilities has no effect.";
    PLAIN_SECRET = "W0347", "A configuration value looks like a secret, and configuration is not kept secret.";
    NOT_YET = "W0348", "A trait or policy is kept for a later version of Lath and does not act yet.";
    NOT_A_BOOL = "W0350", "A value that is neither `true` nor `false` counts as false.";
    REPEATED = "W0351", "The same thing is listed twice.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_explained() {
        let unique: std::collections::BTreeSet<_> = ALL.iter().map(|(code, _)| code).collect();
        assert_eq!(unique.len(), ALL.len());
        assert!(ALL.iter().all(|(_, meaning)| meaning.ends_with('.')));
        assert_eq!(explain("E0312"), Some("A link leads to a component that the manifest does not have."));
        assert_eq!(explain("E9999"), None);
    }
}
