"""The look of the console: the frame of its pages, macros, the style sheet, and scripts.

| file | content |
|---|---|
| `document.html` | what every page has in common: its head |
| `layout.html`, `alone.html` | the frame, and a page without one, such as that to sign in; a page fills the block `main` |
| `part.html` | a part of a page as a page |
| `ui.html` | macros, which every template has as `ui` |
| `console.css`, `console.js` | the style sheet and the script |
| `vendor/` | htmx and two of its extensions, as released, with their licence |
| `assets` | the files that browsers load, by their digests |
| `shown` | texts with the characters that nobody sees |
| `plots` | the places of lines and bars in small plots (pure) |
| `templates` | templates of all pages |
"""

from guardproxy.console.look.assets import ASSETS
from guardproxy.console.look.shown import is_addressable
from guardproxy.console.look.templates import Templates

__all__ = ["ASSETS", "Templates", "is_addressable"]
