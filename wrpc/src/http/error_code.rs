//! Why an HTTP exchange failed, as `wasi:http` counts the reasons.
//!
//! The order of the cases is the wire: nothing is added, moved or left out.

use std::fmt;

use bytes::{BufMut as _, BytesMut};

use crate::codec::wire::{Reader, WireError, put_bytes, put_len, put_unsigned};

/// Payload of [`ErrorCode::DnsError`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsErrorPayload {
    /// The response code of DNS, in words.
    pub rcode: Option<String>,
    /// The extended code.
    pub info_code: Option<u16>,
}

/// Payload of [`ErrorCode::TlsAlertReceived`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsAlertPayload {
    /// Number of the alert.
    pub alert_id: Option<u8>,
    /// The alert in words.
    pub alert_message: Option<String>,
}

/// Which header was too large.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSizePayload {
    /// Name of the header.
    pub field_name: Option<String>,
    /// Its size, in bytes.
    pub field_size: Option<u32>,
}

/// A part of the payload of an error code.
trait Part: Sized {
    fn put(&self, out: &mut BytesMut);
    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError>;
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $index:literal $name:ident $(($payload:ty))? = $text:literal;)*) => {
        /// Reason why there is no response.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $name $(($payload))?,)*
        }

        impl ErrorCode {
            /// The name of the case in `wasi:http`.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $text,)*
                }
            }

            pub(super) fn put(&self, out: &mut BytesMut) {
                match self {
                    $(error_codes!(@pattern $name payload $($payload)?) => {
                        put_len(out, $index);
                        $(<$payload as Part>::put(payload, out);)?
                    })*
                }
            }

            pub(super) fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(match reader.unsigned(32)? {
                    $($index => Self::$name $((<$payload as Part>::get(reader)?))?,)*
                    _ => return Err(WireError::Invalid("an error code has no such case")),
                })
            }
        }
    };
    (@pattern $name:ident $bound:ident) => { Self::$name };
    (@pattern $name:ident $bound:ident $payload:ty) => { Self::$name($bound) };
}

error_codes! {
    /// The name server did not answer.
    0 DnsTimeout = "DNS-timeout";
    /// The name server answered with an error.
    1 DnsError(DnsErrorPayload) = "DNS-error";
    /// There is nothing at the destination.
    2 DestinationNotFound = "destination-not-found";
    /// The destination does not work now.
    3 DestinationUnavailable = "destination-unavailable";
    /// The address may not be connected to.
    4 DestinationIpProhibited = "destination-IP-prohibited";
    /// The address cannot be reached.
    5 DestinationIpUnroutable = "destination-IP-unroutable";
    /// The destination refused the connection.
    6 ConnectionRefused = "connection-refused";
    /// The connection broke.
    7 ConnectionTerminated = "connection-terminated";
    /// The connection was not made in time.
    8 ConnectionTimeout = "connection-timeout";
    /// Nothing was read in time.
    9 ConnectionReadTimeout = "connection-read-timeout";
    /// Nothing could be written in time.
    10 ConnectionWriteTimeout = "connection-write-timeout";
    /// There are too many connections.
    11 ConnectionLimitReached = "connection-limit-reached";
    /// TLS failed.
    12 TlsProtocolError = "TLS-protocol-error";
    /// The certificate is not trusted.
    13 TlsCertificateError = "TLS-certificate-error";
    /// The peer sent a TLS alert.
    14 TlsAlertReceived(TlsAlertPayload) = "TLS-alert-received";
    /// The request is not allowed.
    15 HttpRequestDenied = "HTTP-request-denied";
    /// The request must say its length.
    16 HttpRequestLengthRequired = "HTTP-request-length-required";
    /// The request's body is too large.
    17 HttpRequestBodySize(Option<u64>) = "HTTP-request-body-size";
    /// The method is not one.
    18 HttpRequestMethodInvalid = "HTTP-request-method-invalid";
    /// The URI is not one.
    19 HttpRequestUriInvalid = "HTTP-request-URI-invalid";
    /// The URI is too long.
    20 HttpRequestUriTooLong = "HTTP-request-URI-too-long";
    /// The request's headers are too large together.
    21 HttpRequestHeaderSectionSize(Option<u32>) = "HTTP-request-header-section-size";
    /// One header of the request is too large.
    22 HttpRequestHeaderSize(Option<FieldSizePayload>) = "HTTP-request-header-size";
    /// The request's trailers are too large together.
    23 HttpRequestTrailerSectionSize(Option<u32>) = "HTTP-request-trailer-section-size";
    /// One trailer of the request is too large.
    24 HttpRequestTrailerSize(FieldSizePayload) = "HTTP-request-trailer-size";
    /// The response ended early.
    25 HttpResponseIncomplete = "HTTP-response-incomplete";
    /// The response's headers are too large together.
    26 HttpResponseHeaderSectionSize(Option<u32>) = "HTTP-response-header-section-size";
    /// One header of the response is too large.
    27 HttpResponseHeaderSize(FieldSizePayload) = "HTTP-response-header-size";
    /// The response's body is too large.
    28 HttpResponseBodySize(Option<u64>) = "HTTP-response-body-size";
    /// The response's trailers are too large together.
    29 HttpResponseTrailerSectionSize(Option<u32>) = "HTTP-response-trailer-section-size";
    /// One trailer of the response is too large.
    30 HttpResponseTrailerSize(FieldSizePayload) = "HTTP-response-trailer-size";
    /// The response's transfer coding is not known.
    31 HttpResponseTransferCoding(Option<String>) = "HTTP-response-transfer-coding";
    /// The response's content coding is not known.
    32 HttpResponseContentCoding(Option<String>) = "HTTP-response-content-coding";
    /// The response did not come in time.
    33 HttpResponseTimeout = "HTTP-response-timeout";
    /// The protocol could not be changed.
    34 HttpUpgradeFailed = "HTTP-upgrade-failed";
    /// A peer does not keep to HTTP.
    35 HttpProtocolError = "HTTP-protocol-error";
    /// The request went round in a circle.
    36 LoopDetected = "loop-detected";
    /// Something is configured wrongly.
    37 ConfigurationError = "configuration-error";
    /// Anything else, with a text when there is one to show.
    38 InternalError(Option<String>) = "internal-error";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::InternalError(Some(text)) = self {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ErrorCode {}

impl<T: Part> Part for Option<T> {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let some = reader.bit("an option is neither 0 nor 1")?;
        some.then(|| T::get(reader)).transpose()
    }
}

impl Part for String {
    fn put(&self, out: &mut BytesMut) {
        put_bytes(out, self.as_bytes());
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.str().map(str::to_owned)
    }
}

impl Part for u8 {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(*self);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.byte()
    }
}

macro_rules! number_parts {
    ($($number:ty)*) => {$(
        impl Part for $number {
            fn put(&self, out: &mut BytesMut) {
                put_unsigned(out, u64::from(*self));
            }

            fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                let value = reader.unsigned(<$number>::BITS)?;
                Self::try_from(value).map_err(|_| WireError::Invalid("a number is too large for its type"))
            }
        }
    )*};
}

number_parts!(u16 u32 u64);

impl Part for DnsErrorPayload {
    fn put(&self, out: &mut BytesMut) {
        self.rcode.put(out);
        self.info_code.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { rcode: Part::get(reader)?, info_code: Part::get(reader)? })
    }
}

impl Part for TlsAlertPayload {
    fn put(&self, out: &mut BytesMut) {
        self.alert_id.put(out);
        self.alert_message.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { alert_id: Part::get(reader)?, alert_message: Part::get(reader)? })
    }
}

impl Part for FieldSizePayload {
    fn put(&self, out: &mut BytesMut) {
        self.field_name.put(out);
        self.field_size.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { field_name: Part::get(reader)?, field_size: Part::get(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(code: &ErrorCode) -> Vec<u8> {
        let mut out = BytesMut::new();
        code.put(&mut out);
        out.to_vec()
    }

    #[test]
    fn codes_are_read_back_and_stand_where_wasi_has_them() {
        let field = FieldSizePayload { field_name: Some("cookie".to_owned()), field_size: Some(70_000) };
        for (code, index) in [
            (ErrorCode::DnsTimeout, 0),
            (ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: Some(300) }), 1),
            (ErrorCode::TlsAlertReceived(TlsAlertPayload { alert_id: Some(200), alert_message: None }), 14),
            (ErrorCode::HttpRequestBodySize(Some(u64::MAX)), 17),
            (ErrorCode::HttpRequestHeaderSize(Some(field.clone())), 22),
            (ErrorCode::HttpResponseTrailerSize(field), 30),
            (ErrorCode::HttpResponseTimeout, 33),
            (ErrorCode::LoopDetected, 36),
            (ErrorCode::ConfigurationError, 37),
            (ErrorCode::InternalError(Some("no".to_owned())), 38),
        ] {
            let bytes = bytes(&code);
            assert_eq!(bytes[0], index, "{code}");
            let mut reader = Reader::new(&bytes);
            assert_eq!(ErrorCode::get(&mut reader), Ok(code));
            assert_eq!(reader.remaining(), 0);
        }
        assert!(matches!(ErrorCode::get(&mut Reader::new(&[39])), Err(WireError::Invalid(_))));
    }
}
