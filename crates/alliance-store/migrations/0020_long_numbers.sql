-- MariaDB's INTEGER ends at 2,147,483,647, which a cloud whose nodes count in steps reaches after some years;
-- SQLite's does not. Same rules as in 0003.

/*! ALTER TABLE sign_outs MODIFY seq BIGINT NOT NULL AUTO_INCREMENT */;
/*! ALTER TABLE audit MODIFY seq BIGINT NOT NULL AUTO_INCREMENT */;
