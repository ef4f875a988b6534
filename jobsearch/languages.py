"""Languages: ISO 639-1 codes, and the English names used in folder names."""

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


def check_language(code: str) -> str:
    """Return the code in lower case, if it is in :data:`NAMES`.

    Raises:
        InvalidInput: the language is unknown.
    """
    lowered = code.strip().lower()
    if lowered not in NAMES:
        raise InvalidInput(
            f"unknown language {code!r}: give a two-letter code, one of {', '.join(NAMES)}"
        )
    return lowered
