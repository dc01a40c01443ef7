use super::*;

fn raft(channel: &str, active: u64, nodes: u64, leads: bool) -> String {
    format!(
        "# HELP consensus_etcdraft_active_nodes Number of active nodes in this channel.\n\
             # TYPE consensus_etcdraft_active_nodes gauge\n\
             consensus_etcdraft_active_nodes{{channel=\"{channel}\"}} {active}\n\
             consensus_etcdraft_cluster_size{{channel=\"{channel}\"}} {nodes}\n\
             consensus_etcdraft_is_leader{{channel=\"{channel}\"}} {}\n",
        u8::from(leads)
    )
}

fn bft(streams: u64, height: u64, leader: u64) -> String {
    format!(
        "cluster_comm_ingress_stream_count {streams}\nconsensus_BFT_cluster_size{{channel=\"ch\"}} 4\n\
             consensus_BFT_committed_block_number{{channel=\"ch\"}} {height}\nconsensus_BFT_leader_id{{channel=\"ch\"}} {leader}\n"
    )
}

fn old_raft(streams: u64, height: u64, leads: u8) -> String {
    format!(
        "cluster_comm_ingress_stream_count {streams}\nconsensus_etcdraft_cluster_size{{channel=\"ch\"}} 2\n\
             consensus_etcdraft_is_leader{{channel=\"ch\"}} {leads}\n\
             consensus_etcdraft_committed_block_number{{channel=\"ch\"}} {height}\n"
    )
}

fn judge(texts: &[String], excused: u64) -> Vec<String> {
    let reports = texts
        .iter()
        .enumerate()
        .map(|(at, text)| (format!("orderer{at}"), Report::parse(text)))
        .collect();
    let missing = missing(
        &reports,
        &BTreeMap::new(),
        &Heights::new(),
        excused,
        &BTreeSet::new(),
    );
    missing
        .into_iter()
        .map(|it| format!("{} {}: {}", it.orderer, it.channel, it.why))
        .collect()
}

#[test]
fn a_group_is_whole_when_each_orderer_says_so() {
    let cases: [(&str, Vec<String>, u64, &[&str]); 10] = [
        (
            "whole",
            vec![
                raft("ch", 3, 3, true),
                raft("ch", 3, 3, false),
                raft("ch", 3, 3, false),
            ],
            0,
            &[],
        ),
        (
            "one that has just started",
            vec![raft("ch", 3, 3, true), raft("ch", 0, 3, false)],
            0,
            &["orderer1 ch: it has no leader"],
        ),
        (
            "one that the leader misses",
            vec![raft("ch", 2, 3, true), raft("ch", 2, 3, false)],
            0,
            &[
                "orderer0 ch: 2 of 3 consenters are active",
                "orderer1 ch: 2 of 3 consenters are active",
            ],
        ),
        (
            "one that may be missing",
            vec![raft("ch", 2, 3, true), raft("ch", 2, 3, false)],
            1,
            &[],
        ),
        (
            "one that leads, and one that has not noticed yet that it does no longer",
            vec![
                raft("ch", 4, 4, true),
                raft("ch", 4, 4, true),
                raft("ch", 4, 4, false),
            ],
            0,
            &[
                "orderer0 ch: 2 of 4 consenters claim to be the leader",
                "orderer1 ch: 2 of 4 consenters claim to be the leader",
                "orderer2 ch: 2 of 4 consenters claim to be the leader",
            ],
        ),
        (
            "no channel",
            vec![String::new(), "go_goroutines 12\n".to_owned()],
            0,
            &[],
        ),
        (
            "BFT",
            vec![bft(3, 7, 1), bft(3, 7, 1), bft(2, 6, 1)],
            0,
            &[],
        ),
        (
            "BFT, one that is behind, one that is alone",
            vec![bft(3, 7, 1), bft(3, 4, 1), bft(0, 7, 1)],
            0,
            &[
                "orderer1 ch: it has 5 blocks, another orderer 8",
                "orderer2 ch: no other orderer has connected to it",
            ],
        ),
        (
            "Raft of 1.4",
            vec![old_raft(1, 3, 1), old_raft(1, 3, 0)],
            0,
            &[],
        ),
        (
            "Raft of 1.4 without a leader",
            vec![old_raft(1, 3, 0), old_raft(1, 3, 0)],
            0,
            &[
                "orderer0 ch: 0 of 2 consenters claim to be the leader",
                "orderer1 ch: 0 of 2 consenters claim to be the leader",
            ],
        ),
    ];
    for (name, texts, excused, expected) in cases {
        assert_eq!(judge(&texts, excused), expected, "{name}");
    }
}

#[test]
fn a_channel_that_was_served_before_is_to_be_served_again() {
    let reports = BTreeMap::from([(
        "orderer0".to_owned(),
        Report::parse(&raft("a", 3, 3, false)),
    )]);
    let served = BTreeMap::from([(
        "orderer0".to_owned(),
        BTreeSet::from(["a".to_owned(), "b".to_owned()]),
    )]);
    let found = missing(&reports, &served, &Heights::new(), 0, &BTreeSet::new());
    assert_eq!(
        found
            .iter()
            .map(|it| it.channel.as_str())
            .collect::<Vec<_>>(),
        ["b"]
    );
    assert!(
        missing(
            &reports,
            &served,
            &Heights::new(),
            0,
            &BTreeSet::from(["b".to_owned()])
        )
        .is_empty()
    );
}

#[test]
fn one_that_is_heard_and_lacks_blocks_is_not_back() {
    let with = |blocks: u64| {
        format!(
            "{}ledger_blockchain_height{{channel=\"ch\"}} {blocks}\n",
            raft("ch", 4, 4, false)
        )
    };
    let judge = |blocks: [u64; 3], reached: &[(&str, u64)]| {
        let reports = blocks
            .iter()
            .enumerate()
            .map(|(at, blocks)| (format!("orderer{at}"), Report::parse(&with(*blocks))));
        let reached = reached
            .iter()
            .map(|(channel, blocks)| ((*channel).to_owned(), *blocks))
            .collect();
        let missing = missing(
            &reports.collect(),
            &BTreeMap::new(),
            &reached,
            0,
            &BTreeSet::new(),
        );
        missing
            .into_iter()
            .map(|it| format!("{} {}: {}", it.orderer, it.channel, it.why))
            .collect::<Vec<String>>()
    };
    assert_eq!(judge([7, 7, 6], &[]), Vec::<String>::new());
    assert_eq!(
        judge([7, 9, 900], &[]),
        [
            "orderer0 ch: it has 7 blocks, another orderer 900",
            "orderer1 ch: it has 9 blocks, another orderer 900"
        ]
    );
    // Under load: it has the blocks that the others had a moment ago, and they have more now.
    assert_eq!(
        judge([900, 880, 870], &[("ch", 875)]),
        ["orderer2 ch: it has 870 blocks, another orderer 900"]
    );
    // Blocks came with a snapshot, and no block has followed yet.
    let restored = format!(
        "{}consensus_etcdraft_committed_block_number{{channel=\"ch\"}} 3\n",
        with(900)
    );
    assert_eq!(Report::parse(&restored).channels["ch"].blocks(), 900);
    assert!(
        Report::parse("ledger_blockchain_height{channel=\"ch\"} 900\n")
            .channels
            .is_empty(),
        "no consenter of it"
    );
}

#[test]
fn leaders_are_reported_and_kafka_is_known() {
    assert!(Report::parse(&raft("ch", 3, 3, true)).leads());
    assert!(
        !Report::parse(&raft("ch", 1, 1, true)).leads(),
        "a single orderer has no other to lead"
    );
    assert!(
        Report::parse(&raft("ch", 0, 3, false)).is_alone()
            && !Report::parse(&raft("ch", 2, 3, false)).is_alone()
    );
    assert!(Report::parse(&bft(0, 7, 1)).is_alone() && !Report::parse(&bft(1, 7, 1)).is_alone());
    assert!(Report::parse("consensus_kafka_batch_size{topic=\"ch\"} 1\n").is_kafka());
}

#[test]
fn text_that_is_no_metric_is_skipped() {
    let hostile = "consensus_etcdraft_cluster_size{channel=\"a\\\"},b\",x=\"}\"} 3 1700000000\n\
                       consensus_etcdraft_cluster_size{channel=\"open\n\
                       consensus_etcdraft_cluster_size{channel=\"nan\"} NaN\n\
                       consensus_etcdraft_cluster_size{channel=\"minus\"} -1\n\
                       consensus_etcdraft_cluster_size{channel=\"big\"} 1e300\n\
                       consensus_etcdraft_cluster_size 3\n{} 1\n=\n<html>\n";
    assert_eq!(
        Report::parse(hostile).channels().collect::<Vec<_>>(),
        ["a\"},b"]
    );
    assert_eq!(
        Report::parse("consensus_etcdraft_cluster_size{channel=\"e\"} 3e+00")
            .channels
            .values()
            .next()
            .unwrap()
            .nodes,
        3
    );
}
