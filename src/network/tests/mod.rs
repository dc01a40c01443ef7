mod file;
mod wrong;
