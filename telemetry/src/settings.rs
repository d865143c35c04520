//! What of telemetry is asked for: by arguments, and by the variables that all programs with OpenTelemetry read.

use std::fmt;

use clap::Args;

/// Where spans go. The libraries read the other variables of OpenTelemetry: `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`,
/// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SPAN_*`.
#[derive(Debug, Clone, Default, Args)]
pub struct TelemetryArgs {
    /// Collector that spans are sent to by OTLP over HTTP, such as `http://127.0.0.1:4318`; none are recorded when not given.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// The same for spans alone, with its path: `http://127.0.0.1:4318/v1/traces`.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")]
    pub otlp_traces_endpoint: Option<String>,
}

/// Who sends the spans.
#[derive(Debug, Clone)]
pub struct Service {
    /// `service.name`, where the environment names none.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`.
    pub instance: String,
    /// The lattice: `lath.lattice`.
    pub lattice: String,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A setting that cannot be used.
    #[error("{setting} `{value}` cannot be used: {why}")]
    Setting {
        /// The argument or variable.
        setting: &'static str,
        /// What it says.
        value: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The libraries refuse to start.
    #[error("spans cannot be sent: {0}")]
    Exporter(String),
}

impl TelemetryError {
    pub(crate) fn exporter(error: impl fmt::Display) -> Self {
        Self::Exporter(error.to_string())
    }
}

/// The variables that turn telemetry off, and that choose what it speaks.
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// The one protocol that is spoken, and the port on which collectors speak it.
const PROTOCOL: &str = "http/protobuf";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

impl TelemetryArgs {
    /// The address that spans are sent to, if they are to be sent; `variable` reads the environment.
    ///
    /// # Errors
    /// When a setting says what is not understood: the libraries would fall back to something else and only log it.
    pub(crate) fn target(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, TelemetryError> {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let disabled = said(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let given = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
        let (whole, base) = (given(&self.otlp_traces_endpoint), given(&self.otlp_endpoint));
        if disabled || (whole.is_none() && base.is_none()) {
            return Ok(None);
        }
        match said(EXPORTER).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return wrong(EXPORTER, other, "write `otlp` or `none`"),
        }
        for name in PROTOCOLS {
            if let Some(other) = said(name).filter(|protocol| protocol != PROTOCOL) {
                return wrong(name, &other, "only `http/protobuf` is spoken, mostly on port 4318");
            }
        }
        check_sampler(said)?;
        match (whole, base) {
            (Some(url), _) => checked("--otlp-traces-endpoint", &url).map(|()| Some(url)),
            (None, Some(url)) => {
                checked("--otlp-endpoint", &url)?;
                Ok(Some(format!("{}/v1/traces", url.trim_end_matches('/'))))
            }
            (None, None) => Ok(None),
        }
    }
}

fn check_sampler(said: impl Fn(&str) -> Option<String>) -> Result<(), TelemetryError> {
    let Some(sampler) = said(SAMPLER) else { return Ok(()) };
    if !SAMPLERS.contains(&sampler.as_str()) {
        return wrong(SAMPLER, &sampler, &format!("write one of {}", SAMPLERS.join(", ")));
    }
    if sampler.ends_with("traceidratio") {
        let share = said(SAMPLER_ARG).unwrap_or_default();
        if !share.parse::<f64>().is_ok_and(|share| (0.0..=1.0).contains(&share)) {
            return wrong(
                SAMPLER_ARG,
                &share,
                &format!("with `{sampler}` it is a share from 0 to 1, such as 0.01"),
            );
        }
    }
    Ok(())
}

fn checked(setting: &'static str, url: &str) -> Result<(), TelemetryError> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(()),
        Ok(_) => wrong(setting, url, "write http://HOST:PORT or https://HOST:PORT"),
        Err(error) => wrong(setting, url, &format!("{error}; write http://HOST:PORT or https://HOST:PORT")),
    }
}

fn wrong<T>(setting: &'static str, value: &str, why: &str) -> Result<T, TelemetryError> {
    Err(TelemetryError::Setting { setting, value: value.escape_debug().to_string(), why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(
        traces: Option<&str>,
        base: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<Option<String>, String> {
        let args = TelemetryArgs {
            otlp_endpoint: base.map(str::to_owned),
            otlp_traces_endpoint: traces.map(str::to_owned),
        };
        let variable = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        args.target(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn spans_go_where_the_settings_say() {
        let url = "http://collector:4318";
        assert_eq!(target(None, None, &[]), Ok(None));
        assert_eq!(target(None, Some(""), &[]), Ok(None));
        assert_eq!(target(None, Some(url), &[]), Ok(Some(format!("{url}/v1/traces"))));
        assert_eq!(target(None, Some("http://collector:4318/"), &[]), Ok(Some(format!("{url}/v1/traces"))));
        assert_eq!(target(Some("https://c/x"), Some(url), &[]), Ok(Some("https://c/x".into())));
        for off in [(DISABLED, "true"), (DISABLED, "TRUE"), (EXPORTER, "none")] {
            assert_eq!(target(None, Some(url), &[off]), Ok(None), "{off:?}");
        }
        for on in [(DISABLED, "false"), (EXPORTER, "otlp"), (PROTOCOLS[1], PROTOCOL), (SAMPLER, "always_on")]
        {
            assert!(target(None, Some(url), &[on]).unwrap().is_some(), "{on:?}");
        }
    }

    #[test]
    fn xo_what_is_not_understood_is_refused_with_what_would_be() {
        let url = Some("http://collector:4318");
        let refused = |environment: &[(&str, &str)]| target(None, url, environment).unwrap_err();
        assert_eq!(
            refused(&[(PROTOCOLS[1], "grpc")]),
            "OTEL_EXPORTER_OTLP_PROTOCOL `grpc` cannot be used: only `http/protobuf` is spoken, mostly on port 4318"
        );
        assert!(refused(&[(EXPORTER, "jaeger")]).contains("write `otlp` or `none`"));
        assert!(refused(&[(SAMPLER, "sometimes")]).contains("write one of always_on"));
        for share in ["", "2", "-1", "NaN", "half"] {
            let said = refused(&[(SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARG, share)]);
            assert!(said.contains("a share from 0 to 1"), "{said}");
        }
        for wrong in ["collector:4318", "ftp://collector", "http://", "\u{1b}[0m"] {
            let said = target(None, Some(wrong), &[]).unwrap_err();
            assert!(said.contains("--otlp-endpoint") && said.contains("write http://HOST:PORT"), "{said}");
            assert!(!said.contains('\u{1b}'), "{said}");
        }
        // Nothing is looked at when nothing is sent.
        assert_eq!(target(None, None, &[(PROTOCOLS[0], "grpc")]), Ok(None));
    }
}
