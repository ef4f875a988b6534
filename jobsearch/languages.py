"""Languages: ISO 639-1 codes, and the English names used in folder names."""

from functools import lru_cache

from jobsearch.errors import InvalidInput

#: Code -> name of every language of ESCO, MELO, TalentCLEF and the built-in model.
NAMES = {
    "ar": "arabic", "bg": "bulgarian", "ca": "catalan", "cs": "czech", "da": "danish",
    "de": "german", "el": "greek", "en": "english", "es": "spanish", "et": "estonian",
    "fi": "finnish", "fr": "french", "ga": "irish", "hr": "croatian", "hu": "hungarian",
    "is": "icelandic", "it": "italian", "ja": "japanese", "ko": "korean", "lt": "lithuanian",
    "lv": "latvian", "mt": "maltese", "nl": "dutch", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sk": "slovak", "sl": "slovenian",
    "sv": "swedish", "th": "thai", "tr": "turkish", "uk": "ukrainian", "zh": "chinese",
}  # fmt: skip
#: Name -> code.
CODES = {name: code for code, name in NAMES.items()}


# The two written forms of Norwegian.
_NORWEGIAN = ("nb", "nn")
_MAX_CHARS = 60
# Between several languages: such a text names no single one.
_SEPARATORS = frozenset(",;/|+&\n")


@lru_cache(maxsize=1024)
def find_language(text: str) -> str | None:
    """The code of a language as people write it, None if the language is not in :data:`NAMES`.

    Reads ISO 639 codes (``de``, ``deu``), tags with a script or a region (BCP 47: ``en-US``,
    ``de_AT``, ``zh-Hans``; unknown parts make the tag invalid) and names in any language
    (``German``, ``Deutsch``, ``allemand``). Case does not matter.
    """
    cleaned = text.strip()
    if cleaned.lower() in NAMES:
        return cleaned.lower()
    if not cleaned or len(cleaned) > _MAX_CHARS or _SEPARATORS & set(cleaned):
        return None
    # Takes a tenth of a second, and most texts are plain codes.
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = langcodes.Language.get(cleaned)
    except LanguageTagError:
        tag = langcodes.Language.get("und")
    # Short names are codes that are not in use: "cz" names no language.
    if not tag.is_valid() or tag.language is None:
        if cleaned.isascii() and len(cleaned) <= 3:
            return None
        try:
            tag = langcodes.find(cleaned)
        except (LookupError, UnicodeError):
            return None
    code = tag.prefer_macrolanguage().language or ""
    code = "no" if code in _NORWEGIAN else code
    return code if code in NAMES else None


def check_language(text: str) -> str:
    """Return the code of a language; see :func:`find_language`.

    Raises:
        InvalidInput: the language is unknown.
    """
    code = find_language(text)
    if code is None:
        raise InvalidInput(
            f"unknown language {text!r}: give a code such as de, a tag such as de-AT or a name "
            f"such as German; the known languages are {', '.join(NAMES)}"
        )
    return code
