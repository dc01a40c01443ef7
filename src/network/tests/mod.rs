mod cluster;
mod file;
mod part;
mod plan;
mod wrong;
