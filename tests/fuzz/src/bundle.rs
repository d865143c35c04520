//! A manager's command to a host. What is written is read back the same; the same command twice changes nothing; a host
//! that obeys one leads calls only to what is ready, and goes on from its journal with the same command.

use std::collections::BTreeMap;

use lath_control_api::{ApplyRequest, CallCounts, Timestamp};
use lath_host_core::{Core, JournalEntry, News, Ticket, Transition, UnitKey};

const NOW: Timestamp = Timestamp(1_000);

/// Most units that a command may have here: larger ones are only slower.
const MAX_BUNDLES: usize = 16;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(request) = serde_json::from_slice::<ApplyRequest>(bytes) else { return };
    let written = serde_json::to_vec(&request).expect("every command can be written");
    let read: ApplyRequest = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(read, request, "a command changes when it is written and read");
    if request.bundles.len() <= MAX_BUNDLES {
        obey(&request);
    }
}

fn obey(request: &ApplyRequest) {
    let mut host = Host { core: new_core(), preparing: BTreeMap::new() };
    let Ok((_, steps)) = host.core.apply(request, NOW) else {
        assert_eq!(
            host.core.inventory(no_calls),
            new_core().inventory(no_calls),
            "a refused command left a trace"
        );
        return;
    };
    host.carry_out(steps);
    let (reply, again) = host.core.apply(request, NOW).expect("what was obeyed once is obeyed again");
    assert!(reply.unchanged, "the same command twice was a change");
    assert!(
        !again.iter().any(|step| matches!(step, Transition::Prepare { .. })),
        "it prepared something anew"
    );
    host.carry_out(again);
    let journal = host.journal(request);
    host.prepare_all();
    let served = host.journal(request);
    // A process that dies at either moment goes on with the same command.
    for entry in [journal, served].into_iter().flatten() {
        let (mut core, _) = Core::restore(new_default(), vec![entry], NOW);
        let (reply, _) = core.apply(request, NOW).expect("a host that was started again obeys what it held");
        assert!(reply.unchanged, "a host that was started again takes what it held as new");
    }
}

/// A host that does what its core says, with units that all become ready.
struct Host {
    core: Core,
    preparing: BTreeMap<UnitKey, Ticket>,
}

impl Host {
    fn carry_out(&mut self, steps: Vec<Transition>) {
        for step in steps {
            match step {
                Transition::Prepare { unit, ticket, .. } => {
                    assert!(self.preparing.insert(unit, ticket).is_none(), "a unit is prepared twice");
                }
                Transition::Cancel { unit } => drop(self.preparing.remove(&unit)),
                Transition::Persist(_)
                | Transition::Reopen { .. }
                | Transition::Publish
                | Transition::Drain { .. }
                | Transition::Close { .. }
                | Transition::Release { .. }
                | Transition::Stop { .. }
                | Transition::Report => {}
            }
        }
        for (id, target) in self.core.routes().targets() {
            for labelled in target.units() {
                assert!(!self.preparing.contains_key(&labelled.unit), "{id} leads to what is not ready");
            }
        }
    }

    fn prepare_all(&mut self) {
        while let Some((unit, ticket)) = self.preparing.pop_first() {
            let steps = self.core.observe(&unit, ticket, News::Ready, NOW);
            self.carry_out(steps);
        }
    }

    fn journal(&self, request: &ApplyRequest) -> Option<JournalEntry> {
        let entry = self.core.journal(&request.app)?;
        let bytes = entry.encode().expect("every entry can be written");
        let read = JournalEntry::decode(&bytes).expect("what was written can be read");
        assert_eq!(read, entry, "a journal entry changes when it is written and read");
        Some(read)
    }
}

fn new_default() -> Option<std::net::SocketAddr> {
    Some(std::net::SocketAddr::from(([127, 0, 0, 1], 8_000)))
}

fn new_core() -> Core {
    Core::new(new_default())
}

fn no_calls(_: &UnitKey) -> CallCounts {
    CallCounts::default()
}
