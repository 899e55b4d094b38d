"""Which family a file belongs to, by its ending and, where that says nothing, by its first bytes. Tables, no logic."""

from __future__ import annotations

# Programming languages by ending, in the names of GitHub's linguist in lower case.
CODE = {
    "py": "python", "pyi": "python", "pyx": "cython", "pxd": "cython", "pyw": "python",
    "c": "c", "h": "c", "cc": "c++", "cpp": "c++", "cxx": "c++", "hpp": "c++", "hh": "c++", "hxx": "c++",
    "cu": "cuda", "cuh": "cuda", "m": "objective-c", "mm": "objective-c", "swift": "swift",
    "rs": "rust", "go": "go", "zig": "zig", "d": "d", "v": "verilog", "sv": "systemverilog", "vhd": "vhdl",
    "java": "java", "kt": "kotlin", "kts": "kotlin", "scala": "scala", "groovy": "groovy", "gradle": "groovy",
    "clj": "clojure", "cljs": "clojure", "cs": "c#", "fs": "f#", "vb": "visual basic",
    "js": "javascript", "mjs": "javascript", "cjs": "javascript", "jsx": "javascript",
    "ts": "typescript", "mts": "typescript", "tsx": "typescript", "vue": "vue", "svelte": "svelte",
    "css": "css", "scss": "scss", "sass": "sass", "less": "less",
    "rb": "ruby", "php": "php", "pl": "perl", "pm": "perl", "lua": "lua", "tcl": "tcl", "r": "r", "jl": "julia",
    "hs": "haskell", "ml": "ocaml", "mli": "ocaml", "ex": "elixir", "exs": "elixir", "erl": "erlang", "hrl": "erlang",
    "lisp": "common lisp", "el": "emacs lisp", "scm": "scheme", "rkt": "racket", "nim": "nim", "dart": "dart",
    "f": "fortran", "f90": "fortran", "f95": "fortran", "f03": "fortran", "for": "fortran", "pas": "pascal",
    "asm": "assembly", "s": "assembly", "sql": "sql", "graphql": "graphql", "proto": "protocol buffer",
    "thrift": "thrift", "sh": "shell", "bash": "shell", "zsh": "shell", "fish": "fish", "ps1": "powershell",
    "bat": "batchfile", "cmd": "batchfile", "awk": "awk", "vim": "vim script", "cmake": "cmake", "mk": "makefile",
    "dockerfile": "dockerfile", "tf": "hcl", "hcl": "hcl", "nix": "nix", "sol": "solidity", "tex": "tex",
    "sty": "tex", "cls": "tex", "bib": "bibtex", "yaml": "yaml", "yml": "yaml", "toml": "toml", "ini": "ini",
    "cfg": "ini", "conf": "ini", "properties": "ini", "diff": "diff", "patch": "diff", "ipy": "python",
    "jinja": "jinja", "j2": "jinja", "mako": "mako", "gd": "gdscript", "glsl": "glsl", "hlsl": "hlsl", "wgsl": "wgsl",
}  # fmt: skip
CODE_NAMES = {
    "makefile": "makefile", "gnumakefile": "makefile", "dockerfile": "dockerfile", "cmakelists.txt": "cmake",
    "rakefile": "ruby", "gemfile": "ruby", "jenkinsfile": "groovy", "vagrantfile": "ruby", "sconstruct": "python",
    "meson.build": "meson", "build": "starlark", "workspace": "starlark",
}  # fmt: skip
SHEBANGS = {
    "python": "python", "bash": "shell", "sh": "shell", "zsh": "shell", "node": "javascript", "ruby": "ruby",
    "perl": "perl", "rscript": "r", "lua": "lua", "php": "php", "awk": "awk", "fish": "fish",
}  # fmt: skip

MARKDOWN = frozenset({"md", "markdown", "mdx", "mkd", "qmd", "rmd"})
PROSE = frozenset(
    {"txt", "text", "rst", "rest", "adoc", "asciidoc", "org", "textile", "log", "srt", "vtt", "wiki", "po"}
)
HTML = frozenset({"html", "htm", "xhtml", "shtml", "mhtml_part"})
XML = frozenset({"xml", "rss", "atom", "rdf", "opml", "xsd", "xsl", "xslt", "wsdl", "dita", "fb2"})
TABLE = {"csv": ",", "tsv": "\t", "tab": "\t", "psv": "|"}

# What kreuzberg reads, by the media type it is to be told.
_OOXML = "application/vnd.openxmlformats-officedocument."
OFFICE = {
    "pdf": "application/pdf",
    "docx": _OOXML + "wordprocessingml.document",
    "docm": "application/vnd.ms-word.document.macroEnabled.12",
    "pptx": _OOXML + "presentationml.presentation",
    "pptm": "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    "xlsx": _OOXML + "spreadsheetml.sheet",
    "xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    "xls": "application/vnd.ms-excel",
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "rtf": "application/rtf",
    "epub": "application/epub+zip",
    "eml": "message/rfc822",
    "msg": "application/vnd.ms-outlook",
}
TABLES_IN_OFFICE = frozenset({"xlsx", "xlsm", "xls", "ods"})

# What holds no text for us, so that the funnel says what it is and not just "binary".
_NO_TEXT = {
    "picture": "png jpg jpeg gif bmp tif tiff webp ico heic avif svg svgz psd raw cr2 nef eps",
    "sound": "mp3 wav flac ogg m4a aac wma opus mid midi",
    "video": "mp4 mkv avi mov wmv webm m4v mpg mpeg flv",
    "font": "ttf otf woff woff2 eot",
    "program": "exe dll so dylib a o obj lib pyc pyo pyd class jar war wasm elf deb rpm msi apk",
    "tensor": "safetensors gguf pt pth ckpt onnx pkl pickle npy npz h5 hdf5 parquet arrow feather",
    "database": "db sqlite sqlite3 mdb accdb",
    "packed": "7z rar xz bz2 zst lz4 br iso dmg img warc",
}
NO_TEXT = {ending: what for what, endings in _NO_TEXT.items() for ending in endings.split()}

# First bytes -> family or ending, for files whose ending says nothing.
MAGIC = (
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gz"),
    (b"{\\rtf", "rtf"),
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"\x7fELF", "elf"),
    (b"SQLite format 3\0", "sqlite"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
    (b"OggS", "ogg"),
    (b"ID3", "mp3"),
)
