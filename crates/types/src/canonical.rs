use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};

/// A flat JSON object whose values are all strings, with one spelling: the form of RFC 8785.
///
/// Keys are ASCII, so that RFC 8785's order by UTF-16 code units is the order of bytes. Control characters are refused
/// in values: nothing that people approve may hide or move text on their screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanonicalObject(BTreeMap<String, String>);

/// Why bytes are not a canonical object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// Longer than [`CanonicalObject::BYTES_MAX`].
    #[error("the object is longer than {max} bytes", max = CanonicalObject::BYTES_MAX)]
    TooLong,
    /// Not a JSON object whose values are all strings.
    #[error("not a flat JSON object of strings: {0}")]
    NotFlat(String),
    /// A JSON object, but not spelled as RFC 8785 spells it.
    #[error("not in canonical form (RFC 8785): keys sorted, no space, shortest escapes")]
    NotCanonical,
    /// A field that must be there is missing.
    #[error("the field \"{0}\" is missing")]
    Missing(String),
    /// A field that must not be there.
    #[error("the field \"{0}\" is not known here")]
    Unknown(String),
    /// A key or a value with characters that are not allowed.
    #[error("the field \"{0}\" holds characters that are not allowed")]
    Characters(String),
}

impl CanonicalObject {
    /// Longest canonical form that is read, in bytes.
    pub const BYTES_MAX: usize = 8192;

    /// Adds a field.
    pub fn insert(&mut self, key: &str, value: impl fmt::Display) {
        self.0.insert(key.to_owned(), value.to_string());
    }

    /// Removes and returns a field.
    pub fn take(&mut self, key: &str) -> Result<String, CanonicalError> {
        self.0.remove(key).ok_or_else(|| CanonicalError::Missing(key.to_owned()))
    }

    /// Refuses fields that nobody took.
    pub fn finish(self) -> Result<(), CanonicalError> {
        match self.0.into_keys().next() {
            Some(key) => Err(CanonicalError::Unknown(key)),
            None => Ok(()),
        }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // serde_json escapes strings exactly as RFC 8785 section 3.2.2.2 asks, and BTreeMap sorts the keys.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// Reads bytes that must already be in canonical form.
    pub fn from_bytes(bytes: &[u8]) -> Result<CanonicalObject, CanonicalError> {
        if bytes.len() > CanonicalObject::BYTES_MAX {
            return Err(CanonicalError::TooLong);
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let object = json.deserialize_map(FlatVisitor).map_err(|error| CanonicalError::NotFlat(error.to_string()))?;
        json.end().map_err(|error| CanonicalError::NotFlat(error.to_string()))?;
        for (key, value) in &object.0 {
            let key_known = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if !key_known || value.chars().any(deceives) {
                return Err(CanonicalError::Characters(key.escape_default().to_string()));
            }
        }
        if object.to_bytes() != bytes {
            return Err(CanonicalError::NotCanonical);
        }
        Ok(object)
    }
}

/// Whether a character is not seen, or changes how others are seen: controls, and Unicode's format characters and separators of lines and
/// paragraphs (general categories Cc, Cf, Zl, Zp). Nobody should sign a text that another screen shows differently.
pub(crate) fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x180e | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0x110bd | 0x110cd | 0x13430..=0x1343f
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0001 | 0xe0020..=0xe007f)
}

struct FlatVisitor;

impl<'de> Visitor<'de> for FlatVisitor {
    type Value = CanonicalObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are all strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CanonicalObject, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if object.insert(key, value).is_some() {
                return Err(serde::de::Error::custom("a field occurs twice"));
            }
        }
        Ok(CanonicalObject(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_every_other_spelling() {
        assert!(CanonicalObject::from_bytes(br#"{"a":"1","b":"2"}"#).is_ok());
        for other in [
            r#"{"b":"2","a":"1"}"#,
            r#"{"a": "1","b":"2"}"#,
            r#"{"a":"\u0031","b":"2"}"#,
            r#"{"a":"1","b":"2"} "#,
            r#"{"a":"1","b":"2"}x"#,
            r#"{"a":"1","a":"1"}"#,
            r#"{"a":1}"#,
            r#"{"a":{"b":"1"}}"#,
            r#"["a"]"#,
            r#"{"a":"x\ny"}"#,
            r#"{"A":"x"}"#,
            "",
        ] {
            assert!(CanonicalObject::from_bytes(other.as_bytes()).is_err(), "{other}");
        }
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(CanonicalObject::BYTES_MAX));
        assert_eq!(CanonicalObject::from_bytes(long.as_bytes()), Err(CanonicalError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(fields in proptest::collection::btree_map("[a-z_]{1,8}", "[^\\p{Cc}]{0,20}", 0..6)) {
            prop_assume!(!fields.values().any(|value| value.chars().any(deceives)));
            let mut object = CanonicalObject::default();
            for (key, value) in &fields {
                object.insert(key, value);
            }
            prop_assert_eq!(CanonicalObject::from_bytes(&object.to_bytes()), Ok(object));
        }

        #[test]
        fn t04_characters_that_are_not_seen_or_change_how_others_are_seen_are_refused(character in "[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]") {
            let mut object = CanonicalObject::default();
            object.insert("reason", format!("a{character}b"));
            prop_assert!(CanonicalObject::from_bytes(&object.to_bytes()).is_err(), "{:?}", character);
        }
    }
}
