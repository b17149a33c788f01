//! Exact fractions, small: interpolation points and what Cook–Toom makes of them.

use std::ops::{Add, Mul, Neg, Sub};

/// `numerator / denominator`, in lowest terms with a positive denominator.
///
/// Points have denominators up to 16 and there are at most nine, so that nothing here comes near the limits of `i128`;
/// arithmetic beyond them panics (in tests and plans alike, the same points every time).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    pub const ZERO: Fraction = Fraction::new(0, 1);
    pub const ONE: Fraction = Fraction::new(1, 1);

    /// `numerator / denominator`; the denominator must not be zero.
    pub const fn new(numerator: i128, denominator: i128) -> Self {
        assert!(denominator != 0);
        let divisor = gcd(numerator.abs(), denominator.abs()) * denominator.signum();
        Fraction { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    /// `1 / self`; `self` must not be zero.
    pub fn inverse(self) -> Self {
        Fraction::new(self.denominator, self.numerator)
    }

    /// `self` to the power of `exponent`.
    pub fn power(self, exponent: usize) -> Self {
        (0..exponent).fold(Fraction::ONE, |product, _| product * self)
    }

    /// The nearest double: exact where numerator and denominator are below 2⁵³ and one is a power of two.
    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

const fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn checked(value: Option<i128>) -> i128 {
    value.expect("points are small fractions")
}

impl Add for Fraction {
    type Output = Fraction;
    fn add(self, other: Fraction) -> Fraction {
        let scale = other.denominator / gcd(self.denominator, other.denominator);
        let numerator = checked(self.numerator.checked_mul(scale)).checked_add(checked(
            other.numerator.checked_mul(checked(self.denominator.checked_mul(scale)) / other.denominator),
        ));
        Fraction::new(checked(numerator), self.denominator * scale)
    }
}

impl Neg for Fraction {
    type Output = Fraction;
    fn neg(self) -> Fraction {
        Fraction { numerator: -self.numerator, ..self }
    }
}

impl Sub for Fraction {
    type Output = Fraction;
    fn sub(self, other: Fraction) -> Fraction {
        self + -other
    }
}

impl Mul for Fraction {
    type Output = Fraction;
    fn mul(self, other: Fraction) -> Fraction {
        let (a, b) =
            (Fraction::new(self.numerator, other.denominator), Fraction::new(other.numerator, self.denominator));
        Fraction {
            numerator: checked(a.numerator.checked_mul(b.numerator)),
            denominator: checked(a.denominator.checked_mul(b.denominator)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic() {
        let (half, third) = (Fraction::new(1, 2), Fraction::new(-2, -6));
        assert_eq!(third, Fraction::new(1, 3));
        assert_eq!(half + third, Fraction::new(5, 6));
        assert_eq!(half - third, Fraction::new(1, 6));
        assert_eq!(half * third, Fraction::new(1, 6));
        assert_eq!((-half).inverse(), Fraction::new(-2, 1));
        assert_eq!(Fraction::new(3, 2).power(3), Fraction::new(27, 8));
        assert_eq!(Fraction::new(3, 6) - half, Fraction::ZERO);
        assert_eq!(Fraction::new(-5, 8).to_f64(), -0.625);
    }
}
