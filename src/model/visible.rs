//! Which characters people see: a name with others in it reads like another name.
//!
//! Absent: letters that look alike. A Cyrillic `а` is one that is seen, and in some people's names.

/// Whether a text shows all that it is made of: no control or format character, none that only changes another's look, no
/// separator of lines or paragraphs, no blank but the plain one.
pub fn is_visible(text: &str) -> bool {
    text.is_ascii() && !text.bytes().any(|it| it.is_ascii_control()) || !text.contains(is_unseen)
}

/// Unicode's categories Cc, Cf, Zl, Zp and Zs (but for the space), and what is shown as nothing though it is of another category:
/// fillers, the joiner of graphemes, and all that is or may become a variation selector or tag (`Default_Ignorable_Code_Point`).
fn is_unseen(it: char) -> bool {
    it.is_control()
        || it != ' ' && it.is_whitespace()
        || matches!(
            it,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_found_wherever_it_stands() {
        for unseen in [
            '\0',
            '\t',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{2003}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{3000}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fffb}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            for text in [
                format!("{unseen}amy"),
                format!("a{unseen}my@é"),
                format!("amy{unseen}"),
            ] {
                assert!(!is_visible(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn names_of_people_are_seen() {
        for text in [
            "",
            "Amy Adams",
            "amy@fabrikam.example",
            "Zoë Ångström",
            "山田 太郎",
            "Анна",
            "नेहा",
            "שרה",
            "🙂",
        ] {
            assert!(is_visible(text), "{text:?}");
        }
    }
}
