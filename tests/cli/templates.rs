//! Templates that would end the program rather than themselves: each is refused where it stands.

use super::*;

fn chart(template: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("chart/templates")).unwrap();
    fs::write(
        home.path().join("chart/Chart.yaml"),
        "apiVersion: v2\nname: demo\nversion: 0.1.0\n",
    )
    .unwrap();
    fs::write(home.path().join("chart/templates/a.yaml"), template).unwrap();
    home
}

fn refusal(template: &str) -> String {
    let home = chart(template);
    let output = program(home.path())
        .current_dir(home.path())
        .args(["template", "org1", "./chart"])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{:.60}: {}",
        template,
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("--> demo/templates/a.yaml"),
        "{:.60}: {}",
        template,
        stderr(&output)
    );
    stderr(&output)
}

#[test]
fn a_chain_as_long_as_a_template_may_be_takes_no_stack_that_is_not_there() {
    // As many links as fit into 256 KiB; what follows is undefined, so that each ends in an
    // error of its own.
    for (head, link) in [
        ("values", ".a"),
        ("1", "+1"),
        ("1", "|a"),
        ("values", "()"),
        ("", "-"),
        ("1", " or 0"),
    ] {
        let links = link.repeat(((256 << 10) - 100) / link.len());
        refusal(&format!(
            "{{% set x = {head}{links} %}}{{{{ undefined.thing }}}}"
        ));
    }
    assert!(refusal(&" ".repeat((256 << 10) + 1)).contains("the limit for a template is 256 KiB"));
    let deep = "{% set ns = namespace(m=[]) %}{% for i in range(100000) %}{% set ns.m = [ns.m] %}{% endfor %}{{ ns.m }}";
    assert!(refusal(deep).contains("nested deeper than 100"));
}

#[cfg(unix)]
#[test]
fn a_template_that_grows_without_end_is_stopped_in_bounded_memory() {
    use wait4::Wait4;
    let shared = "{% set ns = namespace(m={}) %}{% for i in range(60) %}{% set ns.m = {'a': ns.m, 'b': ns.m} %}{% endfor %}";
    let doubled = "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
    for template in [
        format!("{shared}{{{{ ns.m }}}}"),
        format!("{shared}{{{{ ns.m | toyaml }}}}"),
        doubled.to_owned(),
    ] {
        let home = chart(&template);
        let mut command = program(home.path());
        command
            .current_dir(home.path())
            .args(["template", "org1", "./chart"])
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut report = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut report)
            .unwrap();
        let ended = child.wait4().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{report}");
        assert!(
            report.contains("a template does not terminate")
                && report.contains("demo/templates/a.yaml:1:"),
            "{report}"
        );
        assert!(
            ended.rusage.maxrss < 1 << 30,
            "{} bytes: {template}",
            ended.rusage.maxrss
        );
    }
}
