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

/// The same where a member may stand for several: it is the first one asked that much more often.
///
/// As in nats-server 2.15: for a message of a client, members elsewhere in the cluster count as much as
/// those of this node (observed: with 1 here and 3 there, 25 and 75 of 100 messages).
pub(super) fn offer_to_one_of_several<M, T>(
    members: &[M],
    rng: &mut Rng,
    count: impl Fn(&M) -> u32,
    offer: impl FnMut(&M) -> Option<T>,
) -> Option<T> {
    let all: u64 = members.iter().map(|member| u64::from(count(member))).sum();
    if all == 0 {
        return None;
    }
    let mut left = rng.u64(..all);
    let chosen = members.iter().position(|member| {
        let members = u64::from(count(member));
        let is_chosen = left < members;
        left = left.saturating_sub(members);
        is_chosen
    });
    let (before, from_chosen) = members.split_at(chosen.unwrap_or_default());
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

    #[test]
    fn who_stands_for_several_is_chosen_more_often() {
        let members = [1_u32, 3, 0];
        let mut rng = Rng::with_seed(4);
        let mut taken = [0_u32; 4];
        for _ in 0..1000 {
            let offer = |member: &u32| Some(*member);
            let member = offer_to_one_of_several(&members, &mut rng, |count| *count, offer);
            taken[usize::try_from(member.unwrap()).unwrap()] += 1;
        }
        assert_eq!(taken[0], 0);
        assert!((200..300).contains(&taken[1]), "{taken:?}");
        let nobody = offer_to_one_of_several(&[0, 0], &mut rng, |count| *count, |_| Some(()));
        assert_eq!(nobody, None);
    }

    #[test]
    fn one_of_several_that_refuses_is_skipped() {
        let mut rng = Rng::with_seed(5);
        for _ in 0..20 {
            let taken = offer_to_one_of_several(
                &[9, 1],
                &mut rng,
                |count| *count,
                |member| (*member == 1).then_some(()),
            );
            assert_eq!(taken, Some(()));
        }
    }
}
