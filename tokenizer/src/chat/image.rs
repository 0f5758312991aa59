//! What a picture comes to, by the rule of its model.

use super::{Detail, Image};

/// How a model's provider counts a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A base, and as much for each tile of 512 pixels once the picture fits into 2048 by 2048 and
    /// its shorter side into 768.
    Tiles { base: u64, tile: u64 },
    /// Each patch of 32 pixels, at most 1,536 of them, times a factor in hundredths.
    Patches { hundredths: u64 },
    /// The area over this number, once the longer side fits into 1,568.
    Area { per_token: u64 },
    /// As much for each tile of 768 pixels.
    Squares { square: u64 },
}

/// A picture of unknown size is taken for one of this.
const ASSUMED: (u32, u32) = (1024, 1024);

/// The most patches that are looked at.
const PATCHES: u64 = 1536;

impl Rule {
    /// The tokens of `image`.
    pub(super) fn count(self, image: &Image) -> u64 {
        let (width, height) = image.size.unwrap_or(ASSUMED);
        let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
        match self {
            Self::Tiles { base, .. } if image.detail == Detail::Low => base,
            Self::Tiles { base, tile } => {
                let (width, height) = fit_longer(width, height, 2048);
                let (width, height) = fit_shorter(width, height, 768);
                base + tile * width.div_ceil(512) * height.div_ceil(512)
            }
            Self::Patches { hundredths } => (patches(width, height) * hundredths).div_ceil(100),
            Self::Area { per_token } => {
                let (width, height) = fit_longer(width, height, 1568);
                (width * height / per_token).clamp(1, 1600)
            }
            Self::Squares { square } => {
                if width <= 384 && height <= 384 {
                    square
                } else {
                    square * width.div_ceil(768).min(64) * height.div_ceil(768).min(64)
                }
            }
        }
    }
}

/// Shrinks so that the longer side is at most `most`.
fn fit_longer(width: u64, height: u64, most: u64) -> (u64, u64) {
    scale(width, height, most, width.max(height))
}

/// Shrinks so that the shorter side is at most `most`.
fn fit_shorter(width: u64, height: u64, most: u64) -> (u64, u64) {
    scale(width, height, most, width.min(height))
}

fn scale(width: u64, height: u64, most: u64, side: u64) -> (u64, u64) {
    if side <= most {
        return (width, height);
    }
    ((width * most / side).max(1), (height * most / side).max(1))
}

/// The patches of 32 pixels. Where they are too many, the picture shrinks until as many whole
/// patches as are allowed cover it.
fn patches(width: u64, height: u64) -> u64 {
    let all = width.div_ceil(32) * height.div_ceil(32);
    if all <= PATCHES {
        return all;
    }
    // The side ratio stays, so that width by height patches come to the allowed number or less.
    let across = (PATCHES * width / height).isqrt().clamp(1, PATCHES);
    let down = (across * height / width).clamp(1, PATCHES);
    across * down
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rule: Rule, width: u32, height: u32) -> u64 {
        rule.count(&Image { size: Some((width, height)), detail: Detail::Auto })
    }

    #[test]
    fn tiles_count_as_billed() {
        // From usage blocks of gpt-4o and gpt-4o-mini.
        let rule = Rule::Tiles { base: 85, tile: 170 };
        assert_eq!(count(rule, 300, 400), 255);
        assert_eq!(count(rule, 1024, 512), 425);
        assert_eq!(count(rule, 2048, 4096), 1105);
        assert_eq!(count(Rule::Tiles { base: 2833, tile: 5667 }, 512, 1024), 14_167);
    }

    #[test]
    fn a_low_detail_is_the_base_alone() {
        let image = Image { size: Some((4000, 4000)), detail: Detail::Low };
        assert_eq!(Rule::Tiles { base: 85, tile: 170 }.count(&image), 85);
    }

    #[test]
    fn patches_are_capped() {
        let rule = Rule::Patches { hundredths: 100 };
        assert_eq!(count(rule, 1024, 1024), 1024);
        assert!((1400..=1536).contains(&count(rule, 1800, 2400)));
        assert!(count(rule, u32::MAX, 1) <= 1536);
    }

    #[test]
    fn no_size_overflows() {
        for rule in [
            Rule::Tiles { base: 1, tile: 1 },
            Rule::Patches { hundredths: 246 },
            Rule::Area { per_token: 750 },
            Rule::Squares { square: 258 },
        ] {
            for (width, height) in [(0, 0), (u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 1)] {
                assert!(count(rule, width, height) > 0);
            }
        }
    }
}
