//! A draft whose values must agree with one another becomes a [`Manifest`], or the report says why not.
//!
//! One function for each rule, in the files below; none of them stops at a problem or depends on another. `build.rs`
//! runs only when no rule refused, and checks nothing.

mod build;
mod components;
mod config;
mod http;
mod ids;
mod interfaces;
mod links;
mod metadata;
mod policies;

use crate::draft::Draft;
use crate::manifest::Manifest;
use crate::report::Report;

/// Checks every rule and builds the manifest when none refuses. The order does not matter: diagnostics are sorted by
/// their place.
pub(crate) fn validate<'t>(report: &mut Report<'t>, draft: &Draft<'t>) -> Option<Manifest> {
    metadata::name_is_an_app_name(report, draft);
    metadata::version_is_fit(report, draft);
    metadata::labels_are_fit(report, draft);
    metadata::annotations_are_fit(report, draft);
    metadata::shared_is_a_bool(report, draft);
    components::names_are_component_names(report, draft);
    components::names_are_unique(report, draft);
    components::ids_are_unique(report, draft);
    components::images_are_references(report, draft);
    components::shared_ones_belong_to_another_app(report, draft);
    components::shared_ones_take_nothing(report, draft);
    components::one_scaler_each(report, draft);
    components::spreads_can_be_followed(report, draft);
    components::traits_of_one_kind_are_one(report, draft);
    components::something_starts_them(report, draft);
    links::names_are_fit(report, draft);
    links::interfaces_are_wit_names(report, draft);
    interfaces::interfaces_are_known(report, draft);
    links::targets_exist(report, draft);
    links::links_are_unique(report, draft);
    links::capabilities_are_not_linked_together(report, draft);
    links::transports_are_between_components(report, draft);
    config::names_and_values_are_fit(report, draft);
    config::definitions_agree(report, draft);
    config::link_definitions_are_unique(report, draft);
    config::nothing_looks_like_a_secret(report, draft);
    config::secrets_lead_to_a_backend(report, draft);
    policies::names_are_unique(report, draft);
    policies::one_policy_of_grants(report, draft);
    policies::one_rollout_policy_for_all(report, draft);
    policies::rollout_policies_are_apart(report, draft);
    policies::components_of_rollouts_exist(report, draft);
    http::server_config_can_be_followed(report, draft);
    http::routes_are_unique(report, draft);
    if report.refused() { None } else { build::manifest(draft) }
}
