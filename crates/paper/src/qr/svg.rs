use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{QUIET_MODULES, Qr};

/// Longest spelling of one dark stretch: `M177 177h177v1h-177z`.
const RUN_BYTES: usize = 24;
const FRAME_BYTES: usize = 320;

impl Qr {
    /// A drawing for web pages, one unit per module, quiet zone included; the page gives it its size.
    ///
    /// It holds attributes only, no style and no script, and so passes the strictest content security policy. It describes itself as
    /// an image; what it is of, the page says.
    pub fn to_svg(&self) -> Zeroizing<String> {
        let side = self.size() + 2 * QUIET_MODULES;
        let mut svg = Zeroizing::new(String::with_capacity(FRAME_BYTES + self.runs().count() * RUN_BYTES));
        // Writing into a String cannot fail.
        let _ = write!(
            *svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path fill=\"#000\" d=\""
        );
        for (x, y, length) in self.runs() {
            let _ = write!(*svg, "M{} {}h{length}v1h-{length}z", x + QUIET_MODULES, y + QUIET_MODULES);
        }
        svg.push_str("\"/></svg>");
        svg
    }
}
