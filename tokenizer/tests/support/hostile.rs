//! A repeatable source of chance, and texts that it makes to be slow for others.

/// A small generator (xorshift), so that a failure repeats.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Inputs that are slow or fatal for other implementations, `length` bytes or a little more.
pub(crate) fn hostile(chance: &mut Chance, length: usize) -> Vec<(&'static str, String)> {
    let mut from = |alphabet: &[char]| -> String {
        let mut text = String::new();
        while text.len() < length {
            text.push(chance.pick(alphabet));
        }
        text
    };
    let letters: Vec<char> = ('a'..='z').collect();
    let base64: Vec<char> =
        ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let cjk: Vec<char> = ('\u{4e00}'..='\u{9fa5}').collect();
    let punctuation: Vec<char> = (' '..='~').filter(char::is_ascii_punctuation).collect();
    vec![
        ("one letter", from(&['a'])),
        ("one capital", from(&['A'])),
        ("newlines", from(&['\n'])),
        ("random letters", from(&letters)),
        ("base64", from(&base64)),
        ("random CJK", from(&cjk)),
        ("punctuation", from(&punctuation)),
        ("one mark", from(&['!'])),
        ("whitespace", from(&[' ', '\t', '\n', '\r', '\u{3000}'])),
        ("digits", from(&['0', '1', '7'])),
        ("capitals behind a letter without case", format!("中{}", from(&['A']))),
        ("letters without case and capitals", from(&['中', 'A', 'B'])),
        ("marks", from(&['\u{301}', '\u{20dd}'])),
        ("quotes", from(&['\'', 's', 'l'])),
        ("flags", from(&['\u{1f1e6}', '\u{1f1ff}', '\u{200d}', '\u{fe0f}'])),
    ]
}
