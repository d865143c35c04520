//! `lath plan`: what deploying would change, where, and in which order. Nothing is changed and nothing is pushed.
//!
//! The plan is the manager's; here it is laid out, with the command that carries it out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use lath_control_api::app::DeployRequest;
use lath_control_api::plan::{Plan, PlannedPlace};
use lath_control_api::{AppVerb, ComponentName, LatticeId};

use crate::call::Call;
use crate::deploy::policy::{self, PolicyArgs};
use crate::deploy::source::{Named, Ready};
use crate::differences;
use crate::failure::{Exit, Failure};
use crate::output::{Document, Glyphs, clean};

/// Most hosts that are listed of a component, unless all are asked for.
const HOSTS: usize = 6;

const AFTER_HELP: &str = "\
    Nothing is changed and no file is pushed. The id stands for the plan as long as the app, the manifest, the code and the \
    rollout options are the same; `lath deploy --plan ID` refuses when one of them has changed.";

/// Arguments of `lath plan`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct PlanArgs {
    /// Manifest, `-` for standard input; or APP, APP@REV, APP@TAG: a revision that was deployed before
    #[arg(value_name = "FILE|APP[@REV]")]
    file: PathBuf,
    /// The exit code tells whether there are changes: 20 when there are
    #[arg(long)]
    detailed_exitcode: bool,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// Shows what a deploy would do.
pub(crate) async fn plan(args: PlanArgs, call: &Call) -> Result<Exit, Failure> {
    let dot = call.out.glyphs.pick("·", "-");
    let rollout = args.policy.overrides()?;
    let ready = Ready::of(Named::of(&args.file), call).await?;
    policy::check(&rollout, &ready.policies)?;
    if !ready.warnings.is_empty() {
        call.out.say(&ready.file.drawn(&ready.warnings, dot));
    }
    let ask = DeployRequest { dry_run: true, rollout: rollout.clone(), ..ready.request() };
    let plan: Plan = match ready.session.change_within(AppVerb::Plan, &ask, ready.registry_time()).await {
        Ok(plan) => plan,
        Err(failure) => return Err(ready.refused(failure, dot)),
    };
    let document = Document::new("Plan", &plan).names([plan.id.clone()]);
    let apply = apply_command(&args.file.display().to_string(), &rollout, &plan);
    let lattice = &ready.session.target.lattice;
    call.out.print(&document, |wide| text(&plan, lattice, &apply, call.out.glyphs, wide))?;
    Ok(if args.detailed_exitcode && !plan.unchanged { Exit::Changes } else { Exit::Done })
}

/// The command that does what the plan says, with everything that the plan stands for.
fn apply_command(file: &str, rollout: &BTreeMap<String, String>, plan: &Plan) -> String {
    let quoted = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@:=%,+<>".contains(c);
        let shell = text.contains(['<', '>']);
        if !text.is_empty() && text.chars().all(plain) && !shell {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let flags =
        rollout.iter().map(|(key, value)| format!(" --rollout {}", quoted(&format!("{key}={value}"))));
    format!("lath deploy {}{} --plan {}", quoted(file), flags.collect::<String>(), quoted(&plan.id))
}

fn text(plan: &Plan, lattice: &LatticeId, apply: &str, glyphs: Glyphs, wide: bool) -> String {
    let (dot, arrow) = (glyphs.pick("·", "-"), glyphs.pick("→", "->"));
    let from =
        plan.from.filter(|from| *from != plan.to).map(|from| format!("{from} {arrow} ")).unwrap_or_default();
    let mut lines =
        vec![format!("Lattice {lattice} {dot} app {} {dot} revision {from}{}", plan.app, plan.to)];
    let same = plan.same.iter().map(ComponentName::as_str).collect::<Vec<_>>().join(", ");
    if plan.unchanged {
        lines.push(format!("{} Unchanged: deploying it would change nothing", glyphs.pick("✔", "OK")));
        return lines.iter().map(|line| format!("{line}\n")).collect();
    }
    lines.push(String::new());
    lines.extend(differences::lines(&plan.changes, glyphs).into_iter().map(|line| format!("  {line}")));
    if !plan.same.is_empty() {
        lines.push(format!("  = {same} (unchanged)"));
    }
    lines.push(String::new());
    lines.extend(facts("Where", &places(&plan.places, arrow, wide)));
    lines.extend(facts("How", &[clean(&plan.strategy)]));
    let order: Vec<String> =
        plan.order.iter().zip(1..).map(|(step, number)| format!("{number} {}", clean(step))).collect();
    lines.extend(facts("Order", &order));
    lines.extend(facts("Risk", &plan.risks.iter().map(|risk| clean(risk)).collect::<Vec<_>>()));
    lines.extend(facts("Note", &plan.notes.iter().map(|note| clean(note)).collect::<Vec<_>>()));
    lines.push(String::new());
    lines.push(format!("Plan {}   apply with: {apply}", plan.id));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// `  Order   1 ...`, and what belongs to it below.
fn facts(name: &str, values: &[String]) -> Vec<String> {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    let known = values.iter().filter(|value| !value.is_empty());
    known.zip(names).map(|(value, name)| format!("  {name:<7} {value}")).collect()
}

/// `cart   host-a 4 → 6, host-b 4`: a line for each component, hosts that change first.
fn places(places: &[PlannedPlace], arrow: &str, wide: bool) -> Vec<String> {
    let mut of_component: BTreeMap<&ComponentName, Vec<&PlannedPlace>> = BTreeMap::new();
    for place in places {
        of_component.entry(&place.component).or_default().push(place);
    }
    let width = of_component.keys().map(|name| name.as_str().chars().count()).max().unwrap_or(0);
    let line = |(component, mut places): (&ComponentName, Vec<&PlannedPlace>)| {
        places.sort_by_key(|place| place.before == place.after);
        let shown = if wide || places.len() <= HOSTS + 1 { places.len() } else { HOSTS };
        let mut texts: Vec<String> = places.iter().take(shown).map(|place| one_place(place, arrow)).collect();
        if shown < places.len() {
            texts.push(format!("and {} more hosts", places.len() - shown));
        }
        let [before, after] = [|place: &&PlannedPlace| place.before, |place: &&PlannedPlace| place.after]
            .map(|count| places.iter().map(count).fold(0, u32::saturating_add));
        let sum = if before == after { after.to_string() } else { format!("{before} {arrow} {after}") };
        format!("{:<width$}   {sum}: {}", component.as_str(), texts.join(", "))
    };
    of_component.into_iter().map(line).collect()
}

fn one_place(place: &PlannedPlace, arrow: &str) -> String {
    let host = clean(&place.host_name);
    if place.before == place.after {
        format!("{host} {}", place.after)
    } else {
        format!("{host} {} {arrow} {}", place.before, place.after)
    }
}

#[cfg(test)]
mod tests {
    use lath_control_api::Revision;
    use lath_control_api::plan::Difference;

    use super::*;

    fn place(component: &str, host: &str, before: u32, after: u32) -> PlannedPlace {
        PlannedPlace {
            component: component.parse().unwrap(),
            host: format!("N{}", "A".repeat(55)).parse().unwrap(),
            host_name: host.into(),
            before,
            after,
        }
    }

    fn plan() -> Plan {
        let image = Difference {
            component: Some("cart".parse().unwrap()),
            what: "image".into(),
            before: Some("shop/cart:1.4.1".into()),
            after: Some("shop/cart:1.5.0".into()),
        };
        Plan {
            app: "shop".parse().unwrap(),
            id: "01KB7Q".into(),
            from: Some(Revision(6)),
            to: Revision(7),
            unchanged: false,
            changes: vec![image],
            same: vec!["search".parse().unwrap(), "kv".parse().unwrap()],
            places: vec![
                place("cart", "host-a", 4, 4),
                place("cart", "host-b", 0, 4),
                place("search", "host-a", 1, 1),
            ],
            strategy: "canary".into(),
            order: vec!["make revision 7 ready on 2 hosts".into(), "10% for 30s".into()],
            risks: vec!["image tag `latest` moves".into()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_plan_for_people() {
        let rollout = [("steps".to_owned(), "10%/30s, 100%".to_owned())].into();
        let apply = apply_command("shop.yaml", &rollout, &plan());
        let eu = "eu".parse().unwrap();
        insta::assert_snapshot!("plan", text(&plan(), &eu, &apply, Glyphs::Unicode, false));
        let first = Plan { from: None, to: Revision(1), same: Vec::new(), ..plan() };
        insta::assert_snapshot!("plan_first_ascii", text(&first, &eu, &apply, Glyphs::Ascii, true));
        let same = Plan { unchanged: true, changes: Vec::new(), to: Revision(6), ..plan() };
        insta::assert_snapshot!("plan_unchanged", text(&same, &eu, &apply, Glyphs::Unicode, false));
    }

    #[test]
    fn many_hosts_are_cut_and_those_that_change_are_shown() {
        let mut all: Vec<PlannedPlace> =
            (0..20).map(|number| place("cart", &format!("h{number}"), 1, 1)).collect();
        all.push(place("cart", "z", 0, 1));
        let short = places(&all, "->", false);
        assert_eq!(short, ["cart   20 -> 21: z 0 -> 1, h0 1, h1 1, h2 1, h3 1, h4 1, and 15 more hosts"]);
        assert_eq!(places(&all, "->", true)[0].matches(',').count(), 20);
    }

    #[test]
    fn the_command_survives_a_shell() {
        let rollout = [("gates".to_owned(), "p95<=1.5x".to_owned())].into();
        let command = apply_command("my shop's.yaml", &rollout, &plan());
        assert_eq!(command, r"lath deploy 'my shop'\''s.yaml' --rollout 'gates=p95<=1.5x' --plan 01KB7Q");
    }
}
