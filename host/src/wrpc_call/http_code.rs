//! What came of a request outside, from the words of the wire to those of the engine. Both have the cases of `wasi:http`.

use lath_wrpc::http::ErrorCode;
use wasmtime_wasi_http::Error;

/// The same case, with what the provider said of it.
pub(super) fn of_wire(code: ErrorCode) -> Error {
    match code {
        ErrorCode::DnsTimeout => Error::DnsTimeout,
        ErrorCode::DnsError(dns) => Error::DnsError { rcode: dns.rcode, info_code: dns.info_code },
        ErrorCode::DestinationNotFound => Error::DestinationNotFound,
        ErrorCode::DestinationUnavailable => Error::DestinationUnavailable,
        ErrorCode::DestinationIpProhibited => Error::DestinationIpProhibited,
        ErrorCode::DestinationIpUnroutable => Error::DestinationIpUnroutable,
        ErrorCode::ConnectionRefused => Error::ConnectionRefused,
        ErrorCode::ConnectionTerminated => Error::ConnectionTerminated,
        ErrorCode::ConnectionTimeout => Error::ConnectionTimeout,
        ErrorCode::ConnectionReadTimeout => Error::ConnectionReadTimeout,
        ErrorCode::ConnectionWriteTimeout => Error::ConnectionWriteTimeout,
        ErrorCode::ConnectionLimitReached => Error::ConnectionLimitReached,
        ErrorCode::TlsProtocolError => Error::TlsProtocolError,
        ErrorCode::TlsCertificateError => Error::TlsCertificateError,
        ErrorCode::TlsAlertReceived(alert) => {
            Error::TlsAlertReceived { alert_id: alert.alert_id, alert_message: alert.alert_message }
        }
        ErrorCode::HttpRequestDenied => Error::HttpRequestDenied,
        ErrorCode::HttpRequestLengthRequired => Error::HttpRequestLengthRequired,
        ErrorCode::HttpRequestBodySize(size) => Error::HttpRequestBodySize(size),
        ErrorCode::HttpRequestMethodInvalid => Error::HttpRequestMethodInvalid,
        ErrorCode::HttpRequestUriInvalid => Error::HttpRequestUriInvalid,
        ErrorCode::HttpRequestUriTooLong => Error::HttpRequestUriTooLong,
        ErrorCode::HttpRequestHeaderSectionSize(size) => Error::HttpRequestHeaderSectionSize(size),
        ErrorCode::HttpRequestHeaderSize(field) => {
            let field = field.unwrap_or_default();
            Error::HttpRequestHeaderSize { field_name: field.field_name, field_size: field.field_size }
        }
        ErrorCode::HttpRequestTrailerSectionSize(size) => Error::HttpRequestTrailerSectionSize(size),
        ErrorCode::HttpRequestTrailerSize(field) => {
            Error::HttpRequestTrailerSize { field_name: field.field_name, field_size: field.field_size }
        }
        ErrorCode::HttpResponseIncomplete => Error::HttpResponseIncomplete,
        ErrorCode::HttpResponseHeaderSectionSize(size) => Error::HttpResponseHeaderSectionSize(size),
        ErrorCode::HttpResponseHeaderSize(field) => {
            Error::HttpResponseHeaderSize { field_name: field.field_name, field_size: field.field_size }
        }
        ErrorCode::HttpResponseBodySize(size) => Error::HttpResponseBodySize(size),
        ErrorCode::HttpResponseTrailerSectionSize(size) => Error::HttpResponseTrailerSectionSize(size),
        ErrorCode::HttpResponseTrailerSize(field) => {
            Error::HttpResponseTrailerSize { field_name: field.field_name, field_size: field.field_size }
        }
        ErrorCode::HttpResponseTransferCoding(coding) => Error::HttpResponseTransferCoding(coding),
        ErrorCode::HttpResponseContentCoding(coding) => Error::HttpResponseContentCoding(coding),
        ErrorCode::HttpResponseTimeout => Error::HttpResponseTimeout,
        ErrorCode::HttpUpgradeFailed => Error::HttpUpgradeFailed,
        ErrorCode::HttpProtocolError => Error::HttpProtocolError,
        ErrorCode::LoopDetected => Error::LoopDetected,
        ErrorCode::ConfigurationError => Error::ConfigurationError,
        ErrorCode::InternalError(text) => Error::InternalError(text),
    }
}

#[cfg(test)]
mod tests {
    use lath_wrpc::http::{DnsErrorPayload, FieldSizePayload};

    use super::*;

    #[test]
    fn a_code_keeps_its_case_and_what_was_said() {
        for (code, told) in [
            (ErrorCode::ConnectionRefused, "ConnectionRefused"),
            (ErrorCode::HttpRequestBodySize(Some(7)), "HttpRequestBodySize(Some(7))"),
            (
                ErrorCode::DnsError(DnsErrorPayload { rcode: Some("SERVFAIL".into()), info_code: Some(2) }),
                "DnsError { rcode: Some(\"SERVFAIL\"), info_code: Some(2) }",
            ),
            (
                ErrorCode::HttpRequestHeaderSize(Some(FieldSizePayload {
                    field_name: Some("cookie".into()),
                    field_size: None,
                })),
                "HttpRequestHeaderSize { field_name: Some(\"cookie\"), field_size: None }",
            ),
            (
                ErrorCode::HttpRequestHeaderSize(None),
                "HttpRequestHeaderSize { field_name: None, field_size: None }",
            ),
            (ErrorCode::InternalError(Some("no".into())), "InternalError(Some(\"no\"))"),
        ] {
            assert_eq!(format!("{:?}", of_wire(code)), told);
        }
    }
}
