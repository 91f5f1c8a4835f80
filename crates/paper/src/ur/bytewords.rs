//! Bytewords in their shortest spelling: each byte as the first and the last letter of its word (BCR-2020-012, 4 October 2020), with
//! the CRC-32 of all of them at the end.

/// The letters of the standard's 256 words, in order.
const LETTERS: &[u8; 512] = b"\
    aeadaoaxaaahamatayasbkbdbnbtbabsbebybgbwbbbzcmchcscfcycwcecackct\
    cxclcpcndkdadsdidedtdrdndwdpdmdldyeheyeoeeecenemetesftfrfnfsfmfh\
    fzfpfwfxfyfefgflfdgagegrgsgtglgwgdgygmgughgohfhghdhkhthphhhlhyhe\
    hnhsidiaieihiyioisinimjejzjnjtjljojsjpjkjykpkoktkskkknkgkekikblb\
    lalylflslrlplnltloldlelulklgmnmymhmemomumwmdmtmsmknlnyndnsntnnne\
    nboyoeotoxonolospdptpkpypspmplpepfpaprqdqzrerprlrorhrdrkrfryrnrs\
    rtsesasrssskswstspsosgsbsfsntotktitttdtetytltbtstptatnuyuoutueur\
    vtvyvovlvevwvavdvswlwdwmwpwewywswtwnwzwfwkykynylyaytzszoztzczezm";
const CHECKSUM_BYTES: usize = 4;

/// CRC-32 as in ISO 3309 and ITU-T V.42 (reflected, polynomial 0x04C11DB7).
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut state = u32::MAX;
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            state = if state & 1 == 1 { (state >> 1) ^ 0xedb8_8320 } else { state >> 1 };
        }
    }
    !state
}

/// Adds the bytes and their checksum to the text, in capital letters: the alphanumeric mode of QR codes has no small ones.
pub(super) fn write(bytes: &[u8], text: &mut String) {
    let checksum = crc32(bytes).to_be_bytes();
    text.reserve(2 * (bytes.len() + CHECKSUM_BYTES));
    for byte in bytes.iter().chain(&checksum) {
        let letters = LETTERS.chunks_exact(2).nth(usize::from(*byte)).unwrap_or_default();
        text.extend(letters.iter().map(|letter| char::from(letter.to_ascii_uppercase())));
    }
}

/// Reads letters of either case; nothing when they are no bytewords or their checksum differs.
pub(super) fn read(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let values = values();
    let mut bytes = Vec::with_capacity(pairs.len());
    for [first, last] in pairs {
        bytes.push(values.get(slot(*first, *last)?).copied().flatten()?);
    }
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if crc32(body).to_be_bytes() != *checksum {
        return None;
    }
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    Some(bytes)
}

/// The byte of every pair of letters that has one.
fn values() -> Vec<Option<u8>> {
    let mut values = vec![None; 26 * 26];
    for (byte, [first, last]) in (0..=u8::MAX).zip(LETTERS.as_chunks::<2>().0) {
        if let Some(value) = slot(*first, *last).and_then(|slot| values.get_mut(slot)) {
            *value = Some(byte);
        }
    }
    values
}

/// Where a pair of letters stands among all of them.
fn slot(first: u8, last: u8) -> Option<usize> {
    let place = |letter: u8| letter.is_ascii_alphabetic().then(|| usize::from(letter.to_ascii_lowercase() - b'a'));
    Some(place(first)? * 26 + place(last)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> String {
        let mut text = String::new();
        write(bytes, &mut text);
        text.to_ascii_lowercase()
    }

    /// BCR-2020-012, "Example/Test Vector" and "Brutal Encoding"; BCR-2024-001, "CRC-32 Checksum".
    #[test]
    fn published_vectors() {
        let seed = hex::decode("d99d6ca20150c7098580125e2ab0981253468b2dbc5202c11947da").unwrap();
        assert_eq!(crc32(&seed), 0xc904_f40b);
        assert_eq!(written(&seed), "tantjzoeadgdstaslplabghydrpfmkbggufgludprfgmaosecffltnsoaawkbd");
        let payload = hex::decode("c7098580125e2ab0981253468b2dbc52").unwrap();
        assert_eq!(crc32(&payload), 0xfeac_0dea);
        assert_eq!(written(&payload), "staslplabghydrpfmkbggufgludprfgmzepsbtwd");
        assert_eq!(crc32(b"Wolf"), 0x598c_84dc);
        assert_eq!(read("staslplabghydrpfmkbggufgludprfgmzepsbtwd"), Some(payload));
    }

    #[test]
    fn every_byte_comes_back_in_either_case() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(read(&written(&all)), Some(all.clone()));
        assert_eq!(read(&written(&all).to_ascii_uppercase()), Some(all));
        assert_eq!(read(&written(&[])), Some(Vec::new()));
    }

    #[test]
    fn any_changed_letter_is_found_and_nonsense_is_refused() {
        let text = written(b"carried by hand");
        for position in 0..text.len() {
            for letter in "abcdefghijklmnopqrstuvwxyz1 ".chars().filter(|letter| !text[position..].starts_with(*letter))
            {
                let changed: String = [&text[..position], &letter.to_string(), &text[position + 1..]].concat();
                assert_eq!(read(&changed), None, "{changed}");
            }
        }
        for nonsense in ["", "a", "ae", "aeaeae", "xxxxxxxxxx", "aé", "\u{20bf}"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
