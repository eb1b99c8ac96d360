//! A strict reader of the `OpenMetrics` text format, as far as the server speaks it: no exemplars, no timestamps, no spare white space.

use std::collections::BTreeSet;

/// Names and values of labels, in the order of the names.
type Labels = Vec<(String, String)>;

/// A family while its samples are read.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    /// Comments come before samples, in this order: HELP, TYPE, UNIT.
    unit_told: bool,
    /// Names and labels but `le` of the metrics so far. One that is left may not come back.
    metrics: Vec<Labels>,
    /// The buckets of the metric that is read: upper bound and count.
    buckets: Vec<(f64, u64)>,
    count: Option<u64>,
}

/// What is wrong with a page, by line from 1.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let body = text.strip_suffix("# EOF\n").filter(|body| body.is_empty() || body.ends_with('\n'));
    let body = body.ok_or("it does not end with the line # EOF")?;
    let mut page = Page::default();
    for (at, line) in body.split_terminator('\n').enumerate() {
        page.line(line).map_err(|problem| format!("line {}: {problem}: {line}", at + 1))?;
    }
    page.finish_family()
}

#[derive(Default)]
struct Page<'a> {
    families: BTreeSet<&'a str>,
    /// Names and labels of all samples so far.
    series: BTreeSet<(String, Labels)>,
    /// The name in a HELP line that its TYPE has yet to follow.
    helped: Option<&'a str>,
    family: Option<Family<'a>>,
}

impl<'a> Page<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            return self.help(rest);
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            return self.kind(rest);
        }
        if self.helped.is_some() {
            return Err(String::from("a HELP has no TYPE"));
        }
        if let Some(rest) = line.strip_prefix("# UNIT ") {
            return self.unit(rest);
        }
        self.sample(line)
    }

    fn help(&mut self, rest: &'a str) -> Result<(), String> {
        self.finish_family()?;
        let (name, help) = rest.split_once(' ').ok_or("no help")?;
        let plain = !help.is_empty() && !help.contains(['\\', '"', '\r']);
        if !is_name(name) || !plain {
            return Err(String::from("a bad name or help"));
        }
        if !self.families.insert(name) {
            return Err(String::from("this family has been told before"));
        }
        if self.helped.replace(name).is_some() {
            return Err(String::from("the HELP before has no TYPE"));
        }
        Ok(())
    }

    fn kind(&mut self, rest: &'a str) -> Result<(), String> {
        let (name, kind) = rest.split_once(' ').ok_or("no type")?;
        if self.helped.take() != Some(name) {
            return Err(String::from("no HELP of this name before"));
        }
        let reserved = ["_total", "_created", "_bucket", "_sum", "_count", "_info"];
        if reserved.iter().any(|suffix| name.ends_with(suffix)) {
            return Err(String::from("a family's name ends like that of a sample"));
        }
        let (metrics, buckets) = (Vec::new(), Vec::new());
        self.family = Some(Family { name, kind, unit_told: false, metrics, buckets, count: None });
        Ok(())
    }

    fn unit(&mut self, rest: &str) -> Result<(), String> {
        let (name, unit) = rest.split_once(' ').ok_or("no unit")?;
        let family = self.family.as_mut().filter(|family| family.name == name).ok_or("no TYPE of this name before")?;
        let in_place = !family.unit_told && family.metrics.is_empty();
        if !in_place || family.kind == "info" || !name.ends_with(&format!("_{unit}")) {
            return Err(String::from("a UNIT that is late, or not the end of the name"));
        }
        family.unit_told = true;
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let (name, labels, value) = split(line)?;
        let family = self.family.as_mut().ok_or("a sample without a family")?;
        let suffix = name.strip_prefix(family.name).ok_or("a sample of another family")?;
        if !self.series.insert((name.to_owned(), labels.clone())) {
            return Err(String::from("this series has been told before"));
        }
        family.sample(suffix, labels, value)
    }

    fn finish_family(&mut self) -> Result<(), String> {
        match self.family.take() {
            Some(mut family) => {
                family.finish_metric().map_err(|problem| format!("at the end of {}: {problem}", family.name))
            }
            None => Ok(()),
        }
    }
}

impl Family<'_> {
    fn sample(&mut self, suffix: &str, mut labels: Labels, value: &str) -> Result<(), String> {
        let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        if bound.is_some() != (suffix == "_bucket") {
            return Err(String::from("buckets and only buckets have an le"));
        }
        if self.metrics.last() != Some(&labels) {
            self.finish_metric()?;
            if self.metrics.contains(&labels) {
                return Err(String::from("the samples of one metric are apart"));
            }
            self.metrics.push(labels);
        }
        let whole = || value.parse::<u64>().map_err(|_| String::from("no whole number"));
        match (self.kind, suffix) {
            ("gauge", "") | ("counter", "_total") => whole().map(drop),
            ("info", "_info") if value == "1" => Ok(()),
            ("histogram", "_sum") => match value.parse::<f64>() {
                Ok(sum) if sum.is_finite() && sum >= 0.0 => Ok(()),
                _ => Err(String::from("no sum")),
            },
            ("histogram", "_count") => {
                self.count = Some(whole()?);
                Ok(())
            }
            ("histogram", "_bucket") => {
                let bound = bound.and_then(|bound| bound.parse().ok()).ok_or("no bound")?;
                let (low, fewer) = self.buckets.last().copied().unwrap_or((f64::NEG_INFINITY, 0));
                self.buckets.push((bound, whole()?));
                let rises = bound > low && whole()? >= fewer;
                rises.then_some(()).ok_or_else(|| String::from("bounds and counts of buckets must rise"))
            }
            _ => Err(format!("a {} has no such sample", self.kind)),
        }
    }

    /// A histogram is whole: its last bucket is without bound and holds all.
    fn finish_metric(&mut self) -> Result<(), String> {
        let (buckets, count) = (std::mem::take(&mut self.buckets), self.count.take());
        if self.kind != "histogram" || self.metrics.is_empty() {
            return Ok(());
        }
        match (buckets.last(), count) {
            (Some((bound, all)), Some(count)) if *bound == f64::INFINITY && *all == count => Ok(()),
            _ => Err(String::from("the last bucket is not +Inf with the count")),
        }
    }
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    starts && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The name, the labels in order and the value of a sample.
fn split(line: &str) -> Result<(&str, Labels, &str), String> {
    let (series, value) = line.rsplit_once(' ').ok_or("neither a comment nor a sample")?;
    let (name, inner) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').ok_or("no end of the labels")?),
    };
    let mut labels = Vec::new();
    for label in inner.split(',').filter(|_| !inner.is_empty()) {
        // Nothing that the server says in a label needs to be escaped, or holds a comma.
        let (key, rest) = label.split_once("=\"").ok_or("no label")?;
        let said = rest.strip_suffix('"').filter(|said| !said.contains(['"', '\\'])).ok_or("no value of a label")?;
        if !is_name(key) {
            return Err(String::from("no name of a label"));
        }
        labels.push((key.to_owned(), said.to_owned()));
    }
    labels.sort();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(String::from("a label twice"));
    }
    let plain = is_name(name) && !value.is_empty();
    plain.then_some((name, labels, value)).ok_or_else(|| String::from("no name or no value"))
}

#[cfg(test)]
mod tests {
    use super::check;

    const GOOD: &str = "\
# HELP a_total_of Some
# TYPE a_total_of counter
a_total_of_total 3
# HELP b What it has
# TYPE b gauge
b{core=\"0\"} 1
b{core=\"1\"} 2
# HELP n Empty
# TYPE n gauge
# HELP d What it runs on
# TYPE d info
d_info{name=\"x-y\"} 1
# HELP h_seconds How long
# TYPE h_seconds histogram
# UNIT h_seconds seconds
h_seconds_sum{core=\"0\"} 0.5
h_seconds_count{core=\"0\"} 4
h_seconds_bucket{le=\"5e-5\",core=\"0\"} 1
h_seconds_bucket{le=\"+Inf\",core=\"0\"} 4
h_seconds_sum{core=\"1\"} 0.0
h_seconds_count{core=\"1\"} 0
h_seconds_bucket{le=\"5e-5\",core=\"1\"} 0
h_seconds_bucket{le=\"+Inf\",core=\"1\"} 0
# EOF
";

    #[test]
    fn a_good_page_is_good() {
        assert_eq!(check(GOOD), Ok(()));
    }

    /// Every fault that is looked for is found: what stands on the left, replaced once by what stands on the right.
    #[test]
    fn faults_are_found() {
        for (good, bad) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF"),
            ("\n# EOF\n", "# EOF\n"),
            ("b{core=\"1\"} 2\n", "b{core=\"1\"} 2\n\n"),
            ("# HELP b What it has\n", ""),
            ("# TYPE b gauge\n", ""),
            ("# TYPE b gauge\n", "# TYPE c gauge\n"),
            ("# HELP b What it has\n# TYPE b gauge\n", "# TYPE b gauge\n# HELP b What it has\n"),
            ("# HELP n Empty\n# TYPE n gauge\n", "# HELP b Empty\n# TYPE b gauge\n"),
            ("# TYPE b gauge", "# TYPE b counter"),
            ("# TYPE b gauge", "# TYPE b thing"),
            ("What it has", "What \\it has"),
            ("a_total_of_total 3", "a_total_of 3"),
            ("a_total_of_total 3", "a_total_of_total -3"),
            ("a_total_of_total 3", "a_total_of_total  3"),
            ("a_total_of_total 3", "# EOF"),
            ("# HELP a_total_of Some\n# TYPE a_total_of ", "# HELP a_total Some\n# TYPE a_total "),
            ("b{core=\"1\"}", "b{core=\"0\"}"),
            ("b{core=\"1\"}", "b{core=\"1\""),
            ("b{core=\"1\"}", "b{core=1}"),
            ("b{core=\"1\"}", "b{core=\"1\",core=\"2\"}"),
            ("b{core=\"1\"}", "b{le=\"1\"}"),
            ("b{core=\"1\"}", "c{core=\"1\"}"),
            ("d_info{name=\"x-y\"} 1", "d_info{name=\"x-y\"} 0"),
            ("# UNIT h_seconds seconds\n", "# UNIT h_seconds bytes\n"),
            ("# UNIT h_seconds seconds\n", "# UNIT h_seconds seconds\n# UNIT h_seconds seconds\n"),
            ("# TYPE h_seconds histogram\n# UNIT", "# UNIT"),
            ("_sum{core=\"0\"} 0.5", "_sum{core=\"0\"} NaN"),
            ("_count{core=\"0\"} 4", "_count{core=\"0\"} 5"),
            ("_bucket{le=\"5e-5\",core=\"0\"} 1", "_bucket{le=\"5e-5\",core=\"0\"} 5"),
            ("_bucket{le=\"5e-5\",core=\"0\"}", "_bucket{core=\"0\"}"),
            ("h_seconds_bucket{le=\"+Inf\",core=\"1\"} 0\n", ""),
            ("h_seconds_bucket{le=\"+Inf\",core=\"0\"} 4\n", ""),
            (
                "h_seconds_sum{core=\"1\"} 0.0\n",
                "h_seconds_sum{core=\"1\"} 0.0\nh_seconds_bucket{le=\"1\",core=\"0\"} 4\n",
            ),
        ] {
            assert!(GOOD.contains(good), "the sample has changed: {good:?}");
            assert!(check(&GOOD.replacen(good, bad, 1)).is_err(), "{good:?} may be {bad:?}");
        }
    }
}
