//! Manifests at, below and above every bound, and those that only want to cost time.
#![expect(clippy::disallowed_methods, reason = "tests measure how long a refusal takes")]

use std::time::{Duration, Instant};

use lath_manifests::limits::{MAX_BYTES, MAX_COMPONENTS, MAX_DIAGNOSTICS, MAX_METADATA};
use lath_manifests::{Diagnostic, load};

/// No refusal takes longer, even in a debug build on a busy machine. The goal is 100 ms in a release build.
const PATIENCE: Duration = Duration::from_secs(5);

const HEAD: &str = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: shop\n";

fn components(count: usize) -> String {
    let mut text = format!("{HEAD}spec:\n  components:\n");
    for index in 0..count {
        text += &format!(
            "    - {{ name: c{index}, type: capability, properties: {{ image: \"r.example/i:1\" }} }}\n"
        );
    }
    text
}

/// The codes of a refusal, once it was quick enough.
fn refused(text: &[u8]) -> Vec<String> {
    let began = Instant::now();
    let found: Vec<Diagnostic> = load(text).map(|loaded| loaded.manifest.name).unwrap_err();
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    found.into_iter().map(|diagnostic| diagnostic.code.into_owned()).collect()
}

#[test]
fn xm12_ten_mebibytes_are_refused_by_size() {
    let text = format!("{HEAD}spec:\n  components:\n    - name: {}\n", "a".repeat(10 << 20));
    assert_eq!(refused(text.as_bytes()), ["E0302"]);
}

#[test]
fn xm37_the_bound_on_size_is_exact() {
    let pad = |bytes: usize| {
        let mut text = components(1) + "# ";
        text += &"x".repeat(bytes - text.len());
        text
    };
    assert!(load(pad(MAX_BYTES - 1).as_bytes()).is_ok());
    assert!(load(pad(MAX_BYTES).as_bytes()).is_ok());
    assert_eq!(refused(pad(MAX_BYTES + 1).as_bytes()), ["E0302"]);
}

#[test]
fn xm19_xm37_the_bound_on_components_is_exact() {
    for fits in [MAX_COMPONENTS - 1, MAX_COMPONENTS] {
        assert_eq!(load(components(fits).as_bytes()).unwrap().manifest.components.len(), fits);
    }
    assert_eq!(refused(components(MAX_COMPONENTS + 1).as_bytes()), ["E0323"]);
}

#[test]
fn xm33_labels_are_bounded() {
    let labels = |count: usize| {
        let pairs: String = (0..count).map(|index| format!("    k{index}: v\n")).collect();
        components(1).replace("spec:\n", &format!("  labels:\n{pairs}spec:\n"))
    };
    assert!(load(labels(MAX_METADATA).as_bytes()).is_ok());
    assert_eq!(refused(labels(MAX_METADATA + 1).as_bytes()), ["E0323"]);
    assert_eq!(refused(labels(30_000).as_bytes()), ["E0323"]);
    let long = components(1).replace("spec:\n", &format!("  labels:\n    k: {}\nspec:\n", "v".repeat(5_000)));
    assert_eq!(refused(long.as_bytes()), ["E0319"]);
}

#[test]
fn xm31_config_values_are_bounded_and_templates_are_left_alone() {
    let with = |value: &str| {
        components(1).replace(
            "r.example/i:1\" }",
            &format!("r.example/i:1\", config: [{{ name: c, properties: {{ key: \"{value}\" }} }}] }}"),
        )
    };
    assert_eq!(refused(with(&"x".repeat(64 * 1024 + 1)).as_bytes()), ["E0341"]);
    for value in ["${HOME} {{ name }}", "line\\nbreak", "\\t"] {
        let manifest = load(with(value).as_bytes()).unwrap().manifest;
        let kept = manifest.components[0].config[0].properties.as_ref().unwrap()["key"].clone();
        assert_eq!(kept, value.replace("\\n", "\n").replace("\\t", "\t"));
    }
}

#[test]
fn no_more_diagnostics_than_anyone_reads() {
    let text = format!("{HEAD}spec:\n  components:\n{}", "    - {}\n".repeat(MAX_COMPONENTS));
    let codes = refused(text.as_bytes());
    assert_eq!(codes.len(), MAX_DIAGNOSTICS + 1);
    assert_eq!(codes.last().map(String::as_str), Some("E0399"));
    let keys: String = (0..20_000).map(|index| format!("a{}: 1\n", index % 10)).collect();
    assert!(refused(keys.as_bytes()).len() <= MAX_DIAGNOSTICS + 1);
}

#[test]
fn many_values_of_the_wrong_kind_are_refused_in_time() {
    for line in ["    k{}: 1\n", "    k{}: []\n", "    k{}:\n"] {
        let pairs: String = (0..30_000).map(|index| line.replace("{}", &index.to_string())).collect();
        let text = components(1).replace("spec:\n", &format!("  labels:\n{pairs}spec:\n"));
        assert_eq!(refused(text.as_bytes()).len(), MAX_DIAGNOSTICS + 1);
    }
    let fields: String = (0..40_000).map(|index| format!("f{index}: 1\n")).collect();
    assert_eq!(refused(fields.as_bytes()).len(), MAX_DIAGNOSTICS + 1);
}

#[test]
fn many_slips_are_not_searched_for_ever() {
    let mut text = components(MAX_COMPONENTS);
    text += "    - name: source\n      type: capability\n      properties: { image: \"r.example/i:1\" }\n      traits:\n";
    // One component too many is reported alone, so the last is taken away.
    let text = text.replacen(
        "    - { name: c0, type: capability, properties: { image: \"r.example/i:1\" } }\n",
        "",
        1,
    );
    let link = |index: usize| {
        format!(
            "        - {{ type: link, properties: {{ name: n{index}, namespace: my, package: own, interfaces: [a], target: {{ name: cc{index} }} }} }}\n"
        )
    };
    let text: String = text + &(0..1_000).map(link).collect::<String>();
    let codes = refused(text.as_bytes());
    assert!(codes.iter().all(|code| code == "E0312" || code == "E0399"), "{codes:?}");
}

#[test]
fn xm09_xm10_structures_that_grow_are_refused_in_time() {
    let wide = format!("{HEAD}spec: [{}]", "a,".repeat(200_000));
    assert_eq!(refused(wide.as_bytes()), ["E0313"]);
    let mut doubling = format!("{HEAD}x0: &x0 {{ a: b }}\n");
    for level in 1..60 {
        doubling += &format!("x{level}: &x{level} {{ a: *x{0}, b: *x{0} }}\n", level - 1);
    }
    assert_eq!(refused(doubling.as_bytes()), ["E0307"]);
}

#[test]
fn names_of_many_policies_are_looked_up_in_time() {
    // One list of names that no component has, far into its text, in every policy that there may be.
    let names: Vec<String> = (0..999).map(|n| format!("n{n}")).collect();
    for spaces in [50 << 10, 400 << 10] {
        let list = format!("{}{}", " ".repeat(spaces), names.join(","));
        let policy = |index: usize| {
            let names = if index == 0 { format!("&names \"{list}\"") } else { "*names".to_owned() };
            format!(
                "    - {{ name: p{index}, type: policy.rollout.lath/v1, properties: {{ components: {names} }} }}\n"
            )
        };
        let policies: String = (0..100).map(policy).collect();
        let text = components(1).replace("spec:\n", &format!("spec:\n  policies:\n{policies}"));
        let codes = refused(text.as_bytes());
        let expected = ["E0322", "E0337", "E0399"];
        assert!(codes.iter().all(|code| expected.contains(&code.as_str())), "{codes:?}");
    }
}

/// A manifest of one component with one limit.
fn limited(field: &str, value: &str) -> String {
    format!(
        "{HEAD}spec:
  components:
    - name: api
      type: component
      properties: {{ image: \"r.example/i:1\" }}
      traits:
        - {{ type: spreadscaler, properties: {{ instances: 1 }} }}
        - {{ type: limits, properties: {{ {field}: {value} }} }}
"
    )
}

#[test]
fn xm34_the_bounds_on_limits_are_exact() {
    for (field, below, least, most, beyond) in [
        ("memory", "1023Ki", "1Mi", "4Gi", "4194305Ki"),
        ("invocation_deadline", "9ms", "10ms", "1h", "1h1ms"),
        ("max_waiting", "-1", "0", "10000", "10001"),
        ("log_rate", "0Ki", "1Ki", "16Mi", "16385Ki"),
        ("log_line", "0Ki", "1Ki", "64Ki", "65Ki"),
        ("request_body", "0Ki", "1Ki", "1024Gi", "1073741825Ki"),
        ("response_body", "0Ki", "1Ki", "1024Gi", "1073741825Ki"),
        ("host_call", "63Ki", "64Ki", "128Mi", "131073Ki"),
        ("handles", "99", "100", "10000", "10001"),
    ] {
        for fits in [least, most] {
            load(limited(field, fits).as_bytes())
                .unwrap_or_else(|found| panic!("{field} {fits}: {found:#?}"));
        }
        for refuses in [below, beyond] {
            assert_eq!(refused(limited(field, refuses).as_bytes()), ["E0322"], "{field} {refuses}");
        }
    }
}

#[test]
fn xm34_the_bounds_on_kept_instances_are_exact() {
    let manifest = |properties: &str| {
        limited("memory", "1Mi").replace(
            "{ type: limits, properties: { memory: 1Mi } }",
            &format!("{{ type: instances, properties: {{ {properties} }} }}"),
        )
    };
    for (policy, field, below, least, most, beyond) in [
        ("reuse", "calls", "0", "1", "1000000", "1000001"),
        ("pooled", "keep", "0", "1", "2000", "2001"),
        ("pooled", "idle", "999ms", "1s", "1h", "1h1ms"),
    ] {
        let with = |value: &str| manifest(&format!("policy: {policy}, {field}: {value}"));
        for fits in [least, most] {
            load(with(fits).as_bytes()).unwrap_or_else(|found| panic!("{field} {fits}: {found:#?}"));
        }
        for refuses in [below, beyond] {
            assert_eq!(refused(with(refuses).as_bytes()), ["E0322"], "{field} {refuses}");
        }
    }
}
