use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static SAMPLES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let prepared = Prepared::new();
    [prepared.keystore().render(), prepared.key_file().render()]
});

fn parse_both(bytes: &[u8]) -> (bool, bool) {
    (
        KeystoreFile::parse(Path::new("keystore.json"), bytes).is_ok(),
        KeyFile::parse(Path::new("key.json"), bytes).is_ok(),
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert_eq!(parse_both(&bytes), (false, false));
    }

    #[test]
    fn arbitrary_json_like_text_is_refused_without_a_panic(text in r#"(\{|\}|\[|\]|"|:|,|[0-9a-f]{1,4}|format|version|virtengine-key|null){0,200}"#) {
        prop_assert_eq!(parse_both(text.as_bytes()), (false, false));
    }

    #[test]
    fn any_replaced_piece_of_a_file_is_refused(
        which in 0_usize..2,
        at in any::<prop::sample::Index>(),
        len in 0_usize..40,
        with in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let original = &SAMPLES[which];
        let start = at.index(original.len());
        let end = (start + len).min(original.len());
        let mut changed = original.clone();
        changed.splice(start..end, with);
        if changed == *original {
            prop_assert_ne!(parse_both(&changed), (false, false));
        } else {
            prop_assert_eq!(parse_both(&changed), (false, false));
        }
    }
}
