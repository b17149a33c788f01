//! Shapes that models leave open.

use std::str::FromStr;

/// The shape of an input that a model leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShape {
    /// The input, if not the only one.
    pub name: Option<String>,
    /// Its sizes, images first.
    pub sizes: Vec<usize>,
}

/// `1x3x320x320`, or `input:1x3x320x320`.
impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, sizes) = text.rsplit_once(':').map_or((None, text), |(name, sizes)| (Some(name.to_owned()), sizes));
        let sizes: Result<Vec<usize>, _> = sizes.split('x').map(str::parse).collect();
        let sizes = sizes.ok().filter(|sizes| !sizes.contains(&0));
        let sizes = sizes
            .ok_or_else(|| format!("'{text}' is no shape: write sizes such as 1x3x320x320, or input:1x3x320x320"))?;
        Ok(InputShape { name, sizes })
    }
}
