//! Who has the links that begin at a provider, where several processes of it run on one host.
//!
//! Such a link is a listener, a subscription, a session: two processes must not have it at the same time. Several specs
//! may want it, in different forms. What nobody has goes to whoever wants it, so that a candidate can show whether it can
//! take it; what somebody has changes hands when another spec takes all traffic. A spec without a claim keeps nothing.

use std::collections::{BTreeMap, BTreeSet};

/// One spec of a provider that runs or is made ready: `P` names its process, `K` a link, `L` is a link with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<P, K, L> {
    /// Its process. Two specs may share one.
    pub process: P,
    /// The links that it is to have.
    pub wants: BTreeMap<K, L>,
    /// Whether it takes all traffic of the provider on this host.
    pub leads: bool,
}

/// One step. They are carried out one after another, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move<U, P, K> {
    /// Take the link away from the process.
    Delete {
        /// Who has it.
        from: P,
        /// Which.
        link: K,
    },
    /// Give it to a process, as this spec wants it.
    Put {
        /// Whose.
        spec: U,
        /// To whom.
        to: P,
        /// Which.
        link: K,
    },
}

/// What is to change hands.
///
/// `held` says which process has which link, and in which form; `refused` which spec's form of a link its process would not
/// take: that one is left out of account until it is asked anew.
pub fn moves<U: Ord + Clone, P: Ord + Clone, K: Ord + Clone, L: PartialEq>(
    claims: &BTreeMap<U, Claim<P, K, L>>,
    held: &BTreeMap<(K, P), L>,
    refused: &BTreeSet<(U, K)>,
) -> Vec<Move<U, P, K>> {
    let mut links: BTreeSet<&K> = held.keys().map(|(link, _)| link).collect();
    links.extend(claims.values().flat_map(|claim| claim.wants.keys()));
    let mut steps = Vec::new();
    for link in links {
        let owner = owner(claims, held, refused, link);
        let is_held = |process: &P, wanted: &L| held.get(&(link.clone(), process.clone())) == Some(wanted);
        let settled = owner.is_some_and(|(_, claim)| {
            claim.wants.get(link).is_some_and(|wanted| is_held(&claim.process, wanted))
        });
        let holders = held.keys().filter(|(held, _)| held == link).map(|(_, process)| process);
        for from in holders {
            let stays = owner.is_some_and(|(_, claim)| claim.process == *from) && settled;
            if !stays {
                steps.push(Move::Delete { from: from.clone(), link: link.clone() });
            }
        }
        if let Some((spec, claim)) = owner.filter(|_| !settled) {
            steps.push(Move::Put { spec: spec.clone(), to: claim.process.clone(), link: link.clone() });
        }
    }
    steps
}

/// The spec whose form of the link counts: that which takes all traffic; where none does, or it does not want the link, the
/// one that has it already, else any that wants it.
fn owner<'a, U: Ord + Clone, P: Ord + Clone, K: Ord + Clone, L: PartialEq>(
    claims: &'a BTreeMap<U, Claim<P, K, L>>,
    held: &BTreeMap<(K, P), L>,
    refused: &BTreeSet<(U, K)>,
    link: &K,
) -> Option<(&'a U, &'a Claim<P, K, L>)> {
    let wanting = || {
        let all = claims.iter().filter(|(_, claim)| claim.wants.contains_key(link));
        all.filter(|(spec, _)| !refused.contains(&((*spec).clone(), link.clone())))
    };
    let has = |claim: &Claim<P, K, L>| {
        let place = (link.clone(), claim.process.clone());
        claim.wants.get(link).is_some_and(|wanted| held.get(&place) == Some(wanted))
    };
    let leader = wanting().find(|(_, claim)| claim.leads);
    leader.or_else(|| wanting().find(|(_, claim)| has(claim))).or_else(|| wanting().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Claims = BTreeMap<u8, Claim<char, &'static str, u8>>;
    type Held = BTreeMap<(&'static str, char), u8>;

    fn claim(process: char, wants: &[(&'static str, u8)], leads: bool) -> Claim<char, &'static str, u8> {
        Claim { process, wants: wants.iter().copied().collect(), leads }
    }

    /// Carries the moves out. The provider takes everything but what is `refused`.
    fn settle(
        claims: &Claims,
        held: &mut Held,
        refused: &mut BTreeSet<(u8, &'static str)>,
        bad: &[(char, u8)],
    ) {
        for _ in 0..10 {
            let steps = moves(claims, held, refused);
            if steps.is_empty() {
                return;
            }
            for step in steps {
                match step {
                    Move::Delete { from, link } => assert!(held.remove(&(link, from)).is_some()),
                    Move::Put { spec, to, link } => {
                        let others = held.keys().filter(|(other, _)| *other == link).count();
                        assert_eq!(others, 0, "two processes would have {link}");
                        let form = claims[&spec].wants[link];
                        if bad.contains(&(to, form)) {
                            refused.insert((spec, link));
                        } else {
                            held.insert((link, to), form);
                        }
                    }
                }
            }
        }
        panic!("it never ends: {claims:?} {held:?}");
    }

    #[test]
    fn a_candidate_gets_what_nobody_has_and_the_rest_with_the_traffic() {
        let (mut held, mut refused) = (Held::new(), BTreeSet::new());
        let mut claims = Claims::from([(1, claim('a', &[("http", 1)], true))]);
        settle(&claims, &mut held, &mut refused, &[]);
        assert_eq!(held, Held::from([(("http", 'a'), 1)]));
        claims.insert(2, claim('b', &[("http", 2), ("mqtt", 1)], false));
        settle(&claims, &mut held, &mut refused, &[]);
        assert_eq!(held, Held::from([(("http", 'a'), 1), (("mqtt", 'b'), 1)]));
        claims.get_mut(&1).unwrap().leads = false;
        settle(&claims, &mut held, &mut refused, &[]);
        assert_eq!(held[&("http", 'a')], 1, "shared traffic moves nothing");
        claims.get_mut(&2).unwrap().leads = true;
        settle(&claims, &mut held, &mut refused, &[]);
        assert_eq!(held, Held::from([(("http", 'b'), 2), (("mqtt", 'b'), 1)]));
        // Back again, as a rollback does, and then the candidate goes.
        claims.get_mut(&2).unwrap().leads = false;
        claims.get_mut(&1).unwrap().leads = true;
        settle(&claims, &mut held, &mut refused, &[]);
        claims.remove(&2);
        settle(&claims, &mut held, &mut refused, &[]);
        assert_eq!(held, Held::from([(("http", 'a'), 1)]));
        settle(&Claims::new(), &mut held, &mut refused, &[]);
        assert!(held.is_empty());
    }

    #[test]
    fn what_is_refused_goes_back_to_where_it_was() {
        let (mut held, mut refused) = (Held::from([(("http", 'a'), 1)]), BTreeSet::new());
        let claims =
            Claims::from([(1, claim('a', &[("http", 1)], false)), (2, claim('b', &[("http", 2)], true))]);
        settle(&claims, &mut held, &mut refused, &[('b', 2)]);
        assert_eq!((held, refused), (Held::from([(("http", 'a'), 1)]), BTreeSet::from([(2, "http")])));
    }

    #[test]
    fn two_specs_of_one_process_change_the_form_of_a_link_in_place() {
        let (mut held, mut refused) = (Held::from([(("http", 'a'), 1)]), BTreeSet::new());
        let mut claims =
            Claims::from([(1, claim('a', &[("http", 1)], true)), (2, claim('a', &[("http", 2)], false))]);
        settle(&claims, &mut held, &mut refused, &[]);
        assert_eq!(held[&("http", 'a')], 1);
        claims.get_mut(&1).unwrap().leads = false;
        claims.get_mut(&2).unwrap().leads = true;
        settle(&claims, &mut held, &mut refused, &[]);
        assert_eq!(held, Held::from([(("http", 'a'), 2)]));
    }
}
