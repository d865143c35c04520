//! The commands of each kind of rollout, and what each of them should say.

use std::time::Duration;

use lath_control_api::Digest;
use lath_control_api::app::{AppStatus, RolloutPhase};

use super::{Course, Director};
use crate::soak::app::{Shop, Variant};
use crate::soak::guests;
use crate::soak::hand::Note;
use crate::soak::kind::Kind;
use crate::soak::stage::Who;

/// Longest wait for a rollout to come to some point of its way.
const ON_ITS_WAY: Duration = Duration::from_secs(30);
/// How long a rollout is left in a pause.
const PAUSED: Duration = Duration::from_millis(1500);
/// Why hosts refuse code whose bytes are not those of its digest.
const WRONG_BYTES: &[&str] = &["fetch-failed", "digest-mismatch"];

type Done = Result<(), String>;

impl Director {
    /// Gives the commands of the course's kind.
    pub(super) async fn follow(&mut self, course: &mut Course) -> Done {
        match course.turn.kind {
            Kind::Image
            | Kind::Config
            | Kind::Link
            | Kind::Everything
            | Kind::Move
            | Kind::Canary
            | Kind::BlueGreen => {
                let next = self.made(course);
                self.forward(course, &next).await
            }
            Kind::Scale => self.scale(course).await,
            Kind::Route => self.route(course).await,
            Kind::Promote => self.promote(course).await,
            Kind::Pause => self.pause(course).await,
            Kind::Supersede => self.supersede(course).await,
            Kind::Back => self.back(course).await,
            Kind::BackWarm => self.back_warm(course).await,
            Kind::Retry => self.retry(course).await,
            Kind::TrapAtStart => self.refused(course, &["start-failed"]).await,
            Kind::NotAComponent => self.refused(course, &["not-a-component"]).await,
            Kind::MissingImport => self.refused(course, &["import-unsatisfied"]).await,
            Kind::BrokenProbe => self.refused(course, &["probe-failed"]).await,
            Kind::NoProgress => self.refused(course, &["progress-deadline"]).await,
            Kind::WrongCode => {
                let next = self.made(course);
                self.damage(&next).await?;
                course.may_answer(self, Who::Old);
                self.refuses(course, &next, WRONG_BYTES).await
            }
            Kind::CanaryErrors | Kind::CanaryTraps => {
                let next = self.made(course);
                course.may_answer(self, Who::Both);
                // Traps are also what its host judges a component by, which may notice them before the gate does.
                let causes: &[_] = match course.turn.kind {
                    Kind::CanaryTraps => &["gate-failed", "calls-fail"],
                    _ => &["gate-failed"],
                };
                self.refuses(course, &next, causes).await
            }
            Kind::AbortBlueGreen => self.abort(course, Who::Old).await,
            Kind::AbortCanary => self.abort(course, Who::Both).await,
            Kind::Held => self.held(course).await,
        }
    }

    /// The variant that the course's kind leads to.
    fn made(&mut self, course: &Course) -> Variant {
        let (shop, number) = (course.turn.shop, self.variants.len());
        let mut next = self.next(shop);
        let folder = self.hand.folder.clone();
        match course.turn.kind {
            Kind::Image | Kind::WrongCode | Kind::Retry => self.renew(&mut next),
            Kind::Config => self.reword(&mut next),
            Kind::Link => next.timeout_ms += 1,
            Kind::Everything => {
                self.renew(&mut next);
                self.reword(&mut next);
                next.timeout_ms += 1;
            }
            Kind::Scale => next.instances = if next.instances == 50 { 40 } else { 50 },
            Kind::Route => next.other_route = !next.other_route,
            Kind::Move => {
                // Away from where it is, if there is another host.
                next.back_zone = (next.back_zone + 1 + self.dice.below(2)) % self.hosts();
            }
            Kind::TrapAtStart | Kind::Held => {
                next.front.file = guests::fresh(&folder, "misbehave-trap-at-start-v1", next.number);
            }
            Kind::NotAComponent => next.front.file = guests::module(&folder, next.number),
            Kind::MissingImport => {
                next.front.file = guests::fresh(&folder, "needs-missing-v1", next.number);
            }
            Kind::BrokenProbe if shop == Shop::Ten => {
                next.front.config.insert("mode".to_owned(), "bad".to_owned());
            }
            // There the probe itself is asked of what the front does not answer.
            Kind::BrokenProbe => next.probe = "/nothing-there",
            Kind::NoProgress => {
                next.nowhere = true;
                self.reword(&mut next);
            }
            Kind::CanaryErrors => self.fail_calls(&mut next, "error"),
            Kind::CanaryTraps => self.fail_calls(&mut next, "trap"),
            _ => self.change(&mut next),
        }
        next = next.with_policy(policy(course.turn.kind));
        self.variants[number] = next.clone();
        next
    }

    fn hosts(&self) -> usize {
        self.variants[0].hosts()
    }

    /// New code of one component or of both.
    fn renew(&mut self, next: &mut Variant) {
        let (folder, which) = (self.hand.folder.clone(), self.dice.below(3));
        let linked = next.shop.is_linked();
        if !linked || which != 0 {
            next.front.renew(&folder, next.number);
        }
        if linked && which != 1 {
            next.back.renew(&folder, next.number);
        }
    }

    /// Another word in the config of one component or of both.
    fn reword(&mut self, next: &mut Variant) {
        let which = self.dice.below(3);
        let linked = next.shop.is_linked();
        if !linked || which != 0 {
            next.front.mark = next.number.to_string();
        }
        if linked && which != 1 {
            next.back.mark = next.number.to_string();
        }
    }

    /// Code, config, or both.
    fn change(&mut self, next: &mut Variant) {
        match self.dice.below(3) {
            0 => self.renew(next),
            1 => self.reword(next),
            _ => {
                self.renew(next);
                self.reword(next);
            }
        }
    }

    /// A part of the calls fails. What the component behind the link answers is no failure for hosts unless it traps.
    fn fail_calls(&mut self, next: &mut Variant, how: &str) {
        let behind = how == "trap" && next.shop.is_linked() && self.dice.percent(50);
        let percent = (20 + self.dice.below(40)).to_string();
        let part = if behind { &mut next.back } else { &mut next.front };
        part.mark = next.number.to_string();
        part.config.insert("fail-how".to_owned(), how.to_owned());
        part.config.insert("fail-percent".to_owned(), percent);
    }

    /// A deploy that is to be carried through.
    async fn forward(&self, course: &mut Course, next: &Variant) -> Done {
        course.may_answer(self, Who::Both);
        let note = self.hand.deploy(&next.write(&self.hand.folder)).await;
        course.done(note, 0, "Completed", Who::New)
    }

    /// A deploy of what cannot run: no request comes to it.
    async fn refused(&mut self, course: &mut Course, reasons: &[&str]) -> Done {
        let next = self.made(course);
        course.may_answer(self, Who::Old);
        self.refuses(course, &next, reasons).await
    }

    async fn refuses(&self, course: &mut Course, next: &Variant, reasons: &[&str]) -> Done {
        let note = self.hand.deploy(&next.write(&self.hand.folder)).await;
        let reason = note.reason().to_owned();
        course.done(note, 9, "RolledBack", Who::Old)?;
        if reasons.contains(&reason.as_str()) {
            return Ok(());
        }
        Err(format!("it was rolled back for `{reason}` and not for {reasons:?}"))
    }

    async fn scale(&mut self, course: &mut Course) -> Done {
        if self.dice.percent(50) {
            let next = self.made(course);
            return self.forward(course, &next).await;
        }
        let shop = course.turn.shop;
        let instances = (30 + self.dice.below(50)).to_string();
        course.may_answer(self, Who::Both);
        let note = self.hand.run(&["scale", &format!("{}/front", shop.name()), &instances]).await;
        course.done(note, 0, "Completed", Who::New)
    }

    async fn route(&mut self, course: &mut Course) -> Done {
        let next = self.made(course);
        self.forward(course, &next).await?;
        // Requests of its own, which are not the load's: they have a form that no component accounts for.
        for _ in 0..10 {
            let answer = next.ask_other_host().await;
            let right = match &answer {
                Ok(_) => next.other_route,
                Err(cause) => !next.other_route && cause.contains("status 404"),
            };
            if !right {
                let wanted = if next.other_route { "an answer" } else { "404" };
                return Err(format!("the other route should give {wanted} and gave {answer:?}"));
            }
        }
        Ok(())
    }

    async fn promote(&mut self, course: &mut Course) -> Done {
        let next = self.made(course);
        course.may_answer(self, Who::Old);
        let note = self.hand.deploy(&next.write(&self.hand.folder)).await;
        course.done(note, 0, "Paused", Who::Old)?;
        course.may_answer(self, Who::Both);
        let note = self.hand.run(&["rollout", "promote", course.turn.shop.name()]).await;
        course.done(note, 0, "Completed", Who::New)
    }

    async fn pause(&mut self, course: &mut Course) -> Done {
        let (next, shop) = (self.made(course), course.turn.shop);
        course.may_answer(self, Who::Both);
        let manifest = next.write(&self.hand.folder);
        let pause = async {
            self.hand.until(shop, ON_ITS_WAY, "traffic to move", shifting).await?;
            Ok::<_, String>(self.hand.run(&["rollout", "pause", shop.name()]).await)
        };
        let (deploy, pause) = tokio::join!(self.hand.deploy(&manifest), pause);
        let pause = pause?;
        course.said(deploy, 0, "Paused")?;
        course.said(pause, 0, "Paused")?;
        tokio::time::sleep(PAUSED).await;
        let status = self.hand.status(shop).await?;
        if status.rollout.is_none_or(|rollout| rollout.paused.is_none()) {
            return Err("it did not stay paused".to_owned());
        }
        let note = self.hand.run(&["rollout", "resume", shop.name()]).await;
        course.done(note, 0, "Completed", Who::New)
    }

    async fn supersede(&mut self, course: &mut Course) -> Done {
        let (first, second) = (self.made(course), self.made(course));
        let shop = course.turn.shop;
        course.may_answer(self, Who::Both);
        let folder = &self.hand.folder;
        let (first, second) = (first.write(folder), second.write(folder));
        let newer = async {
            self.hand.until(shop, ON_ITS_WAY, "traffic to move", shifting).await?;
            Ok::<_, String>(self.hand.deploy(&second).await)
        };
        let (older, newer) = tokio::join!(self.hand.deploy(&first), newer);
        course.said(older, 5, "Superseded")?;
        course.done(newer?, 0, "Completed", Who::New)
    }

    async fn back(&mut self, course: &mut Course) -> Done {
        course.may_answer(self, Who::Both);
        let note = self.hand.run(&["rollback", course.turn.shop.name()]).await;
        course.commanded_back = Some(note.took());
        course.done(note, 0, "Completed", Who::New)
    }

    async fn back_warm(&mut self, course: &mut Course) -> Done {
        let next = self.made(course);
        self.forward(course, &next).await?;
        course.may_answer(self, Who::Both);
        self.give_up(course).await
    }

    async fn give_up(&self, course: &mut Course) -> Done {
        let note = self.hand.run(&["rollout", "abort", course.turn.shop.name()]).await;
        course.commanded_back = Some(note.took());
        course.done(note, 0, "RolledBack", Who::Old)
    }

    async fn retry(&mut self, course: &mut Course) -> Done {
        let next = self.made(course);
        self.damage(&next).await?;
        course.may_answer(self, Who::Old);
        self.refuses(course, &next, WRONG_BYTES).await?;
        for code in code(&next) {
            self.hand.store.replace_object(Digest::of(&code).hex(), &code).await;
        }
        course.may_answer(self, Who::Both);
        let note = self.hand.run(&["rollout", "retry", course.turn.shop.name()]).await;
        course.done(note, 0, "Completed", Who::New)
    }

    /// A deploy that waits for a person, who gives it up.
    async fn abort(&mut self, course: &mut Course, meanwhile: Who) -> Done {
        let next = self.made(course);
        course.may_answer(self, meanwhile);
        let note = self.hand.deploy(&next.write(&self.hand.folder)).await;
        course.said(note, 0, "Paused")?;
        tokio::time::sleep(PAUSED).await;
        self.give_up(course).await
    }

    async fn held(&mut self, course: &mut Course) -> Done {
        let next = self.made(course);
        course.may_answer(self, Who::Old);
        let note = self.hand.deploy(&next.write(&self.hand.folder)).await;
        course.said(note, 10, "Degraded")?;
        self.give_up(course).await
    }

    /// Puts the code of a variant into the store and then other bytes in its place, under the same name and the same
    /// noted digest: only who looks at the bytes can tell.
    async fn damage(&self, next: &Variant) -> Done {
        for code in code(next) {
            let digest = Digest::of(&code);
            self.hand.store.replace_object(digest.hex(), &code).await;
            self.hand.store.damage_object(digest.hex()).await;
        }
        Ok(())
    }
}

/// Code of a variant that no host has, as far as it was made for this variant.
fn code(next: &Variant) -> Vec<Vec<u8>> {
    let own = format!("-{}.wasm", next.number);
    let parts = [&next.front, &next.back].map(|part| part.file.clone());
    let own = parts.into_iter().filter(|file| file.to_string_lossy().ends_with(&own));
    own.map(|file| std::fs::read(file).expect("cannot read code")).collect()
}

fn shifting(status: &AppStatus) -> bool {
    status.rollout.as_ref().is_some_and(|rollout| rollout.phase == RolloutPhase::Shifting)
}

/// What a kind wants of the rollout beside what is usual in a soak.
const fn policy(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Canary | Kind::CanaryErrors | Kind::CanaryTraps => &[
            ("strategy", "canary"),
            ("steps", "10%/1s, 50%/1s"),
            ("gates", "errors<=1%, traps<=1%, samples>=20"),
            ("inconclusive", "wait"),
        ],
        Kind::AbortCanary => &[("strategy", "canary"), ("steps", "30%/promote")],
        Kind::BlueGreen => &[("strategy", "blue-green"), ("auto_promote", "true"), ("keep_warm", "2s")],
        Kind::Promote | Kind::AbortBlueGreen => &[("strategy", "blue-green"), ("keep_warm", "2s")],
        Kind::BackWarm => &[("strategy", "blue-green"), ("auto_promote", "true"), ("keep_warm", "30s")],
        Kind::Pause => &[("min_healthy_time", "2s")],
        Kind::NoProgress => &[("progress_deadline", "3s"), ("min_healthy_time", "1s")],
        Kind::Held => &[("auto_rollback", "false")],
        _ => &[],
    }
}

impl Course {
    /// From now on requests may be answered by these.
    fn may_answer(&mut self, director: &Director, who: Who) {
        self.who.push((director.hand.book.now(), who));
    }

    /// A command that should have said this.
    fn said(&mut self, note: Note, code: i32, outcome: &str) -> Done {
        let right = note.code == Some(code) && note.outcome() == outcome;
        let told = format!(
            "`{}` ended with {:?} and {} ({}), not with {code} and {outcome}\n{}",
            note.command,
            note.code,
            note.outcome(),
            note.reason(),
            note.stderr.trim_end()
        );
        self.notes.push(note);
        if right { Ok(()) } else { Err(told) }
    }

    /// The same of one that says that a change is done: what is sent later may be answered by these alone.
    fn done(&mut self, note: Note, code: i32, outcome: &str, who: Who) -> Done {
        let at = note.ended;
        self.said(note, code, outcome)?;
        self.who.push((at, who));
        Ok(())
    }
}
