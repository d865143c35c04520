//! Whom to ask next after a failure, and how long to wait before.
//!
//! Only hiccups of seconds are waited out here. What lasts is told; hosts have their own, longer patience.

use std::time::Duration;

use super::address::Endpoint;
use crate::fault::{Fault, RegistryError};
use crate::reference::Reference;
use crate::settings::{Patience, Settings};

/// The places that may have an image, mirrors first.
#[derive(Debug)]
pub(super) struct Attempts {
    mirrors: std::vec::IntoIter<Endpoint>,
    origin: Endpoint,
    /// The mirror whose turn it is; the registry's own when there is none.
    mirror: Option<Endpoint>,
    failed_mirrors: Vec<String>,
    patience: Patience,
    failed: u32,
}

impl Attempts {
    pub(super) fn new(reference: &Reference, settings: &Settings) -> Self {
        let origin = Endpoint::origin(reference, settings);
        let mirrors = settings.mirrors.get(reference.registry()).into_iter().flatten();
        let mirrors: Vec<_> = mirrors.map(|mirror| Endpoint::mirror(reference, mirror, settings)).collect();
        let mut mirrors = mirrors.into_iter();
        let mirror = mirrors.next();
        Self { mirrors, origin, mirror, failed_mirrors: Vec::new(), patience: settings.patience, failed: 0 }
    }

    /// The registry itself and nobody else, as one pushes.
    pub(super) fn at(origin: Endpoint, patience: Patience) -> Self {
        let mirrors = Vec::new().into_iter();
        Self { mirrors, origin, mirror: None, failed_mirrors: Vec::new(), patience, failed: 0 }
    }

    /// Whose turn it is.
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.mirror.as_ref().unwrap_or(&self.origin)
    }

    /// Goes on after a failure, or gives it back with what the mirrors said before.
    pub(super) async fn after(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        if error.fault.is_ours() {
            return Err(error);
        }
        if self.mirror.is_some() {
            tracing::warn!(%error, "a mirror does not have it; the next place is asked");
            self.failed_mirrors.push(error.message);
            self.mirror = self.mirrors.next();
            return Ok(());
        }
        self.failed = self.failed.saturating_add(1);
        match self.pause(error.fault) {
            Some(pause) => {
                tracing::info!(%error, pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "tried again");
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(self.told(error)),
        }
    }

    fn pause(&self, fault: Fault) -> Option<Duration> {
        if !fault.is_hiccup() || self.failed >= self.patience.tries {
            return None;
        }
        let own = self.patience.pause.saturating_mul(1 << self.failed.saturating_sub(1).min(16));
        match fault {
            Fault::Busy { retry_after: Some(asked) } if asked > self.patience.longest_pause => None,
            Fault::Busy { retry_after: Some(asked) } => Some(own.max(asked)),
            _ => Some(own),
        }
    }

    fn told(&self, error: RegistryError) -> RegistryError {
        if self.failed_mirrors.is_empty() {
            return error;
        }
        let message = format!("{}; before that: {}", error.message, self.failed_mirrors.join("; "));
        RegistryError { message, ..error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RegistryArgs;

    fn attempts(mirrors: &[&str]) -> Attempts {
        let mirrors = mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect();
        let args = RegistryArgs { mirrors, ..Default::default() };
        let patience = Patience { pause: Duration::from_millis(1), ..Patience::TRANSFER };
        Attempts::new(&"r.test/a:1".parse().unwrap(), &Settings::new(&args, patience).unwrap())
    }

    fn error(fault: Fault) -> RegistryError {
        RegistryError::new(fault, "wrong")
    }

    #[tokio::test]
    async fn mirrors_are_asked_first_and_once() {
        let mut attempts = attempts(&["r.test=m1.test", "r.test=m2.test", "other.test=m3.test"]);
        let mut asked = Vec::new();
        let last = loop {
            asked.push(attempts.endpoint().registry.to_string());
            if let Err(error) = attempts.after(error(Fault::Failed)).await {
                break error;
            }
        };
        assert_eq!(asked, ["m1.test", "m2.test", "r.test", "r.test", "r.test"]);
        assert_eq!(last.message, "wrong; before that: wrong; wrong");
    }

    #[tokio::test]
    async fn what_lasts_is_told_at_once() {
        let long = Fault::Busy { retry_after: Some(Duration::from_secs(3_600)) };
        for fault in [Fault::Denied, Fault::NotFound, Fault::DigestMismatch, long] {
            assert_eq!(attempts(&[]).after(error(fault)).await.unwrap_err().fault, fault);
        }
        // A full disk here is not better with another registry.
        let mut attempts = attempts(&["r.test=m1.test"]);
        assert_eq!(attempts.after(error(Fault::DiskFull)).await.unwrap_err().fault, Fault::DiskFull);
    }

    #[test]
    fn f57_a_registry_is_left_alone_as_long_as_it_asks() {
        let mut attempts = attempts(&[]);
        attempts.failed = 1;
        let asked = Duration::from_secs(2);
        assert_eq!(attempts.pause(Fault::Busy { retry_after: Some(asked) }), Some(asked));
        assert_eq!(attempts.pause(Fault::Failed), Some(Duration::from_millis(1)));
        attempts.failed = 2;
        assert_eq!(attempts.pause(Fault::Failed), Some(Duration::from_millis(2)));
    }
}
