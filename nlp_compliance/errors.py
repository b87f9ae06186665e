"""The error tree. Every message says what was found, what is allowed and what to do.

NlpComplianceError          code, HTTP-neutral base of everything raised on purpose
├── SettingsError           a setting has a value outside its range
├── RulebookError           a rulebook file is broken: file, line, reason
├── BundleError             a model bundle is broken, incomplete or does not fit the rulebook
├── InputError              the caller's input cannot be used
│   ├── EmptyTextError      there is no text to judge
│   ├── TextTooLongError    more characters than `max_text_chars`
│   ├── TextEncodingError   lone surrogates, undecodable bytes
│   ├── RecordError         a line or row of a table is not a usable record
│   ├── UnsupportedFormatError  no reader for this kind of file
│   ├── UnreadableFileError a file of a known kind that cannot be read (broken, encrypted)
│   ├── LimitExceededError  a file or request is over a limit named in the settings
│   ├── NotThereError       no such thing, or it belongs to somebody else
│   ├── ConflictError       the request contradicts an earlier one
│   └── ReceiveTimeoutError the body came too slowly
├── UnauthorizedError       the caller has not shown the key or login the server asks for
│   └── ForbiddenError      the person is known, the role does not allow it
├── MissingExtraError       an optional dependency is not installed
├── OverloadedError         the queue is full; come back after `retry_after_s`
│   ├── TooManyRequestsError  one caller has too many requests open
│   └── NotReadyError       the result is still being made
└── StoreError              the database refuses or holds something inconsistent
"""


class NlpComplianceError(Exception):
    """Base of all errors raised on purpose; `code` is stable and part of the API."""

    code = "error"


class SettingsError(NlpComplianceError):
    code = "settings_invalid"


class RulebookError(NlpComplianceError):
    code = "rulebook_invalid"


class BundleError(NlpComplianceError):
    code = "bundle_invalid"


class InputError(NlpComplianceError):
    code = "input_invalid"


class EmptyTextError(InputError):
    code = "text_empty"


class TextTooLongError(InputError):
    code = "text_too_long"


class TextEncodingError(InputError):
    code = "text_encoding"


class RecordError(InputError):
    code = "record_invalid"


class UnsupportedFormatError(InputError):
    code = "format_unsupported"


class UnreadableFileError(InputError):
    code = "file_unreadable"


class LimitExceededError(InputError):
    code = "limit_exceeded"


class NotThereError(InputError):
    """There is no such thing, or it belongs to somebody else, which is not told apart."""

    code = "not_found"


class ConflictError(InputError):
    """The request contradicts an earlier one with the same idempotency key."""

    code = "idempotency_conflict"


class ReceiveTimeoutError(InputError):
    """The body came more slowly than `max_receive_seconds` allow."""

    code = "receive_timeout"


class UnauthorizedError(NlpComplianceError):
    code = "unauthorized"


class ForbiddenError(UnauthorizedError):
    code = "forbidden"


class MissingExtraError(NlpComplianceError):
    code = "extra_missing"


class OverloadedError(NlpComplianceError):
    """The bounded queue is full. `retry_after_s` is in seconds, at least 1."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequestsError(OverloadedError):
    """One caller holds more open requests than `max_client_requests`."""

    code = "too_many_requests"


class NotReadyError(OverloadedError):
    """The result is still being made; come back after `retry_after_s`."""

    code = "not_ready"


class StoreError(NlpComplianceError):
    code = "store_error"
