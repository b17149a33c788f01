//! The attributes of a node.

use super::messages::{Attribute, Node, Tensor, attribute};
use super::{listed, shown};

/// Attributes, all of whose names are known.
pub(super) struct Attributes<'a>(&'a [Attribute]);

impl<'a> Attributes<'a> {
    /// Those of `node`, which may be called `known`.
    ///
    /// # Errors
    /// The first other one.
    pub(super) fn of(node: &'a Node, known: &[&str]) -> Result<Self, String> {
        match node.attribute.iter().find(|attribute| !known.contains(&attribute.name.as_str())) {
            Some(other) => Err(format!("has the attribute {}, which is not computed here", shown(&other.name))),
            None => Ok(Attributes(&node.attribute)),
        }
    }

    /// Those of `node`, whatever they are called.
    pub(super) fn any(node: &'a Node) -> Self {
        Attributes(&node.attribute)
    }

    fn get<T>(&self, name: &str, value: impl Fn(&'a Attribute) -> Option<T>) -> Result<Option<T>, String> {
        let found = self.0.iter().find(|attribute| attribute.name == name);
        let value = found.map(|found| value(found).ok_or_else(|| format!("has an attribute {name} of another type")));
        value.transpose()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|attribute| attribute.name == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        // A zero may be left out.
        let value = |found: &Attribute| found.i.or((found.kind == attribute::INT).then_some(0));
        Ok(self.get(name, value)?.unwrap_or(default))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        let value = |found: &Attribute| found.f.or((found.kind == attribute::FLOAT).then_some(0.0));
        Ok(self.get(name, value)?.unwrap_or(default))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, String> {
        self.get(name, |found| (found.kind == attribute::INTS || !found.ints.is_empty()).then_some(&found.ints[..]))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, String> {
        let value = |found: &'a Attribute| {
            (found.kind == attribute::FLOATS || !found.floats.is_empty()).then_some(&found.floats[..])
        };
        self.get(name, value)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.get(name, |found| std::str::from_utf8(&found.s).ok())
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a Tensor>, String> {
        self.get(name, |found| found.t.as_ref())
    }

    /// `count` sizes, each `default` if there are none.
    pub(super) fn size_list(&self, name: &str, count: usize, default: usize) -> Result<Vec<usize>, String> {
        let Some(given) = self.ints(name)? else { return Ok(vec![default; count]) };
        let sizes: Vec<usize> = given.iter().take(count + 1).map_while(|&size| usize::try_from(size).ok()).collect();
        if sizes.len() == count && given.len() == count {
            return Ok(sizes);
        }
        Err(format!("needs {count} sizes as {name}, not {}", listed(given)))
    }

    /// That `name`, if it is there, is one of `accepted`.
    pub(super) fn only(&self, name: &str, accepted: &[i64]) -> Result<(), String> {
        match self.get(name, |found| Some(found.i.unwrap_or(0)))? {
            Some(value) if !accepted.contains(&value) => {
                Err(format!("has {name} = {value}, which is not computed here"))
            }
            _ => Ok(()),
        }
    }
}
