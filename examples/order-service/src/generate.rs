//! Makes the command file this package ships: believable orders, and the mistakes people make.
//!
//! The same seed gives the same file, byte for byte; a test holds the shipped `commands.jsonl`
//! against it. `story` tells what happens to one order, `catalogue` what the shop sells and to
//! whom, `damage` what goes wrong on the way.

mod catalogue;
mod damage;
mod random;
mod story;

use std::time::Duration;

use crate::command::{Command, CommandToken};
use crate::moment::Moment;

use self::damage::Damage;
use self::random::Random;
use self::story::Step;

/// The seed of the shipped file.
pub const SEED: u64 = 7;

/// Orders in the shipped file.
const ORDERS: u64 = 360;
/// Orders are opened within this time.
const OPENED_WITHIN_SECS: u64 = 5 * 24 * 3_600;
/// Lines that are no command.
const UNREADABLE: usize = 14;
/// Commands for orders that do not exist.
const UNKNOWN_ORDERS: u64 = 12;
/// Lines that are sent a second time, as by an impatient client.
const SENT_AGAIN: usize = 12;
/// Commands that come under the id of an earlier one.
const ID_USED_AGAIN: usize = 3;

/// Makes the text of a command file, one JSON object per line.
#[must_use]
pub fn generate(seed: u64) -> String {
    let mut random = Random::new(seed);
    let commands = commands(&mut random);
    let mut lines: Vec<String> = commands.iter().map(to_line).collect();
    repeat_some(&mut lines, &commands, &mut random);
    break_some(&mut lines, &commands, &mut random);
    lines.concat()
}

/// All commands, oldest first.
fn commands(random: &mut Random) -> Vec<Command> {
    let opening = Moment::parse("2026-03-02T06:00:00Z").expect("the text is RFC 3339");
    let mut steps: Vec<Step> = Vec::new();
    for number in 0..ORDERS {
        let at = opening.after(Duration::from_secs(random.below(OPENED_WITHIN_SECS)));
        steps.extend(story::of_order(10_001 + number, at, random));
    }
    for _ in 0..UNKNOWN_ORDERS {
        let at = opening.after(Duration::from_secs(random.below(OPENED_WITHIN_SECS)));
        steps.push(story::for_unknown_order(at, random));
    }
    // Stable: steps of one order at the same second stay in order.
    steps.sort_by_key(|step| step.at);
    let name = |(number, step): (usize, Step)| Command {
        id: CommandToken::new(format!("cmd-{:06}", number + 1)).expect("the text is a token"),
        order: step.order,
        action: step.action,
    };
    steps.into_iter().enumerate().map(name).collect()
}

fn to_line(command: &Command) -> String {
    let json = serde_json::to_string(command).expect("a command holds only text and numbers");
    format!("{json}\n")
}

/// Sends some lines again, and some other commands under an id that is taken. Each goes behind its
/// original, to the same order.
fn repeat_some(lines: &mut Vec<String>, commands: &[Command], random: &mut Random) {
    for number in 0..SENT_AGAIN + ID_USED_AGAIN {
        let original = random.index(commands.len());
        let again = if number < SENT_AGAIN {
            to_line(&commands[original])
        } else {
            to_line(&damage::other_command_with_id_of(&commands[original]))
        };
        let place = lines
            .iter()
            .position(|line| *line == to_line(&commands[original]));
        let behind = place.unwrap_or_default() + 1 + random.index(60);
        lines.insert(behind.min(lines.len()), again);
    }
}

/// Puts lines between the others that are no command.
fn break_some(lines: &mut Vec<String>, commands: &[Command], random: &mut Random) {
    for number in 0..UNREADABLE {
        let victim = &commands[random.index(commands.len())];
        let line = Damage::ALL[number % Damage::ALL.len()].apply(victim, number);
        lines.insert(random.index(lines.len()), line);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::import::SHIPPED;

    #[test]
    fn the_shipped_file_is_what_the_generator_makes() {
        assert!(
            generate(SEED) == SHIPPED,
            "run `cargo run -p order-service -- generate > examples/order-service/commands.jsonl`"
        );
    }

    #[test]
    fn another_seed_gives_another_file() {
        assert_ne!(generate(1), generate(2));
    }

    #[test]
    fn the_shipped_file_is_large_enough_and_has_mistakes_in_it() {
        let parsed: Vec<_> = SHIPPED.lines().map(Command::parse).collect();
        let commands: Vec<&Command> = parsed.iter().flatten().collect();
        let orders: BTreeSet<_> = commands.iter().map(|command| &command.order).collect();
        assert!(commands.len() >= 2_000, "{} commands", commands.len());
        assert!(orders.len() >= 300, "{} orders", orders.len());
        assert_eq!(parsed.len() - commands.len(), UNREADABLE);
        let ids: BTreeSet<_> = commands.iter().map(|command| &command.id).collect();
        assert_eq!(commands.len() - ids.len(), SENT_AGAIN + ID_USED_AGAIN);
    }
}
