//! Charts inside the page, with words for those who do not see them.

use super::escape::escape;
use crate::plot::{Picture, PlotError};

/// A chart of more bytes than this is left to `convlab plot`.
const LARGEST: usize = 1 << 20;

/// The picture as an element of the page whose ids begin with `id`, or the sentence that stands in for it.
pub(super) fn figure(picture: &Result<Picture, PlotError>, id: &str) -> String {
    let drawn = picture.as_ref().map_err(ToString::to_string).and_then(|picture| {
        let svg = picture.svg().map_err(|error| error.to_string())?;
        let inline = inline(&svg, picture, id);
        if inline.len() > LARGEST {
            return Err(format!("{}: too much for a page; convlab plot draws it", picture.title));
        }
        Ok(inline)
    });
    match drawn {
        Ok(svg) => format!(
            "<figure>\n<div class=\"chart\" tabindex=\"0\" role=\"group\" aria-labelledby=\"{id}-title\">\n{svg}</div>\n</figure>\n"
        ),
        Err(why) => format!("<p class=\"note\">No chart: {}.</p>\n", escape(&why)),
    }
}

/// `svg`, an image with a title and a description, without what every element of it says alike.
fn inline(svg: &str, picture: &Picture, id: &str) -> String {
    let (_, content) = svg.split_once('>').unwrap_or_default();
    let alike = [" opacity=\"1\"", " stroke=\"none\"", " font-family=\"sans-serif\"", " text-anchor=\"start\""];
    let content = alike.iter().fold(content.to_owned(), |content, attribute| content.replace(attribute, ""));
    let content = content.replace(">\n", ">").replace("\n</text>", "</text>");
    let (width, height) = (picture.width.ceil(), picture.height.ceil());
    format!(
        "<svg id=\"{id}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\
         <title id=\"{id}-title\">{}</title><desc id=\"{id}-desc\">{}</desc>{}\n",
        escape(&picture.title),
        escape(&picture.description),
        content.trim()
    )
}
