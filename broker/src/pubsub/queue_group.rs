//! Choosing one member of a queue group.

use fastrand::Rng;

/// Offers a message to the members of one group, a random one first, until one takes it.
///
/// Returns what `offer` gave for the member that took it, or `None` when nobody did. A member that has
/// just ended costs its group nothing: the next one is asked.
pub(super) fn offer_to_one<M, T>(
    members: &[M],
    rng: &mut Rng,
    offer: impl FnMut(&M) -> Option<T>,
) -> Option<T> {
    if members.is_empty() {
        return None;
    }
    let (before, from_chosen) = members.split_at(rng.usize(..members.len()));
    from_chosen.iter().chain(before).find_map(offer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_chosen_now_and_then() {
        let members = [0, 1, 2];
        let mut rng = Rng::with_seed(1);
        let mut taken = [0_u32; 3];
        for _ in 0..300 {
            let member = offer_to_one(&members, &mut rng, |member| Some(*member)).unwrap();
            taken[member] += 1;
        }
        assert!(taken.iter().all(|count| *count > 60), "{taken:?}");
    }

    #[test]
    fn a_member_that_refuses_is_skipped() {
        let mut rng = Rng::with_seed(2);
        for _ in 0..20 {
            let taker = offer_to_one(&[0, 1, 2], &mut rng, |member| {
                (*member == 1).then_some(*member)
            });
            assert_eq!(taker, Some(1));
        }
    }

    #[test]
    fn nobody_takes_when_all_refuse_or_none_is_there() {
        let mut rng = Rng::with_seed(3);
        assert_eq!(offer_to_one(&[0, 1], &mut rng, |_| None::<()>), None);
        assert_eq!(offer_to_one(&[], &mut rng, |_: &()| Some(())), None);
    }
}
