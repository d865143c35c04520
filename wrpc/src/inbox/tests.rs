//! What reaches which channel, what does not, and what a full queue does.

use bytes::Bytes;

use super::*;

fn message(subject: &str, payload: &'static [u8]) -> Message {
    Message {
        subject: subject.into(),
        reply: None,
        payload: Bytes::from_static(payload),
        headers: None,
        status: None,
        description: None,
        length: payload.len(),
    }
}

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new("_INBOX.96mn5B3qvgav3UUlkKE0Gy", Arc::default()))
}

fn route(suffix: &'static str, kind: RouteKind, sender: &Sender) -> Route {
    Route { suffix: suffix.into(), kind, sender: sender.clone() }
}

#[test]
fn tokens_have_the_length_of_a_nuid_and_are_read_back() {
    let inbox = inbox();
    for key in [0, 1, 61, 62, 12_345_678, u64::MAX] {
        assert_eq!(number_of(&digits(key)), Some(key));
    }
    let reserved = inbox.reserve();
    let token = reserved.subject().as_str().rsplit('.').next().unwrap().to_owned();
    assert_eq!(token.len(), TOKEN);
    assert_eq!(
        inbox.parse(&format!("{}.results.0.1", reserved.subject())),
        Some((reserved.key, "results.0.1"))
    );
    for foreign in ["", "x", "_INBOX.other.1", "_INBOX.96mn5B3qvgav3UUlkKE0Gy.short", "zzzzzzzzzzz"] {
        assert_eq!(inbox.parse(foreign), None, "{foreign}");
    }
    assert_eq!(number_of("zzzzzzzzzzz"), None, "over 64 bits");
}

#[test]
fn messages_reach_their_channel_only_and_routes_go_with_their_owner() {
    let inbox = inbox();
    let budget = Budget::new(1 << 20);
    let reserved = inbox.reserve();
    let (results, mut results_box) = mailbox(1 << 10, &budget);
    let (body, mut body_box) = mailbox(1 << 10, &budget);
    reserved.add(vec![
        route("results", RouteKind::Once, &results),
        route("results.0.0", RouteKind::Stream, &body),
    ]);
    let subject = reserved.subject();
    inbox.deliver(message(&format!("{subject}.results"), b"a"));
    inbox.deliver(message(&format!("{subject}.results.0.0"), b"b"));
    inbox.deliver(message(&format!("{subject}.results.0"), b"c"));
    inbox.deliver(message(&format!("{subject}.results"), b""));
    assert!(matches!(results_box.try_recv(), Some(Ok(Mail::Data(bytes))) if &*bytes == b"a"));
    assert!(matches!(results_box.try_recv(), Some(Ok(Mail::End(None)))));
    assert!(matches!(body_box.try_recv(), Some(Ok(Mail::Data(bytes))) if &*bytes == b"b"));
    assert!(body_box.try_recv().is_none());
    assert_eq!(inbox.len(), 1);
    drop(reserved);
    assert_eq!(inbox.len(), 0);
}

#[test]
fn a_full_queue_breaks_alone_and_gives_its_bytes_back() {
    let budget = Budget::new(1 << 20);
    let (slow, mut slow_box) = mailbox(2 * (MESSAGE_COST + 4), &budget);
    let (quick, mut quick_box) = mailbox(1 << 10, &budget);
    for _ in 0..3 {
        slow.push(Mail::Data(Bytes::from_static(b"1234")));
        quick.push(Mail::Data(Bytes::from_static(b"1234")));
    }
    assert!(matches!(slow_box.try_recv(), Some(Err(Broken::Overflow))));
    for _ in 0..3 {
        assert!(matches!(quick_box.try_recv(), Some(Ok(Mail::Data(_)))));
    }
    assert_eq!(budget.used(), 0);
    quick.push(Mail::Data(Bytes::from_static(b"1234")));
    drop(quick_box);
    assert_eq!(budget.used(), 0);
}

#[test]
fn all_queues_together_stay_within_the_budget() {
    let budget = Budget::new(2 * MESSAGE_COST);
    let (one, _one_box) = mailbox(1 << 10, &budget);
    let (two, mut two_box) = mailbox(1 << 10, &budget);
    one.push(Mail::Credit(1));
    one.push(Mail::Credit(2));
    two.push(Mail::Credit(3));
    assert!(matches!(two_box.try_recv(), Some(Err(Broken::Overflow))));
    assert_eq!(budget.used(), 2 * MESSAGE_COST);
}

#[test]
fn a_reconnect_breaks_what_may_have_lost_bytes() {
    let statistics = Arc::new(Statistics::default());
    let inbox = Arc::new(Inbox::new("_INBOX.96mn5B3qvgav3UUlkKE0Gy", Arc::clone(&statistics)));
    let budget = Budget::new(1 << 20);
    let reserved = inbox.reserve();
    let (whole, mut whole_box) = mailbox(1 << 10, &budget);
    let (begun, mut begun_box) = mailbox(1 << 10, &budget);
    let (stream, mut stream_box) = mailbox(1 << 10, &budget);
    reserved.add(vec![
        route("whole", RouteKind::Once, &whole),
        route("begun", RouteKind::Once, &begun),
        route("stream", RouteKind::Stream, &stream),
    ]);
    let subject = reserved.subject();
    inbox.deliver(message(&format!("{subject}.begun"), b"a"));
    statistics.connects.store(1, Ordering::Relaxed);
    for name in ["whole", "begun", "stream"] {
        inbox.deliver(message(&format!("{subject}.{name}"), b"b"));
    }
    assert!(matches!(whole_box.try_recv(), Some(Ok(Mail::Data(_)))));
    assert!(matches!(begun_box.try_recv(), Some(Err(Broken::ConnectionLost))));
    assert!(matches!(stream_box.try_recv(), Some(Err(Broken::ConnectionLost))));
}

#[test]
fn a_stream_that_gets_nothing_after_a_reconnect_breaks_too() {
    let statistics = Arc::new(Statistics::default());
    let inbox = Arc::new(Inbox::new("_INBOX.96mn5B3qvgav3UUlkKE0Gy", Arc::clone(&statistics)));
    let budget = Budget::new(1 << 20);
    let (before, after) = (inbox.reserve(), inbox.reserve());
    let (results, mut results_box) = mailbox(1 << 10, &budget);
    let (old, mut old_box) = mailbox(1 << 10, &budget);
    let (new, mut new_box) = mailbox(1 << 10, &budget);
    before
        .add(vec![route("results", RouteKind::Once, &results), route("results.0", RouteKind::Stream, &old)]);
    inbox.break_interrupted();
    assert!(old_box.try_recv().is_none());
    statistics.connects.store(1, Ordering::Relaxed);
    after.add(vec![route("results.0", RouteKind::Stream, &new)]);
    inbox.break_interrupted();
    assert!(matches!(old_box.try_recv(), Some(Err(Broken::ConnectionLost))));
    assert!(new_box.try_recv().is_none());
    assert!(results_box.try_recv().is_none());
}

#[test]
fn a_closed_inbox_ends_every_wait() {
    let inbox = inbox();
    let budget = Budget::new(1 << 20);
    let before = inbox.reserve();
    let (sender, mut old) = mailbox(1 << 10, &budget);
    before.add(vec![route("", RouteKind::Root, &sender)]);
    inbox.close();
    let after = inbox.reserve();
    let (sender, mut new) = mailbox(1 << 10, &budget);
    after.add(vec![route("", RouteKind::Root, &sender)]);
    assert!(matches!(old.try_recv(), Some(Err(Broken::Closed))));
    assert!(matches!(new.try_recv(), Some(Err(Broken::Closed))));
}
